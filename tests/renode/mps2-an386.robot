*** Comments ***
The firmware of tests/data/peers/small_32_int8.tflite, built for target mps2-an386, in Renode
1.15 or newer:

    renode-test --variable ELF:$PWD/build/firmware-mps2-an386.elf tests/renode/mps2-an386.robot

*** Settings ***
Library             OperatingSystem
Test Setup          Boot
Test Teardown       Reset Emulation

*** Variables ***
${ELF}              ${CURDIR}/../../build/firmware-mps2-an386.elf
${SCRIPT}           ${CURDIR}/../../firmware/renode/mps2-an386.resc
${INPUT_BYTES}      ${3072}
# What TensorFlow Lite Micro answers to the input bytes 0, 7, 14, ... modulo 256.
${EXPECTED}         6cef1cffc35907ad3441
# Of one inference. It depends on the compiler, so by default only its repeatability is checked.
${INSTRUCTIONS}     any

*** Test Cases ***
Firmware Boots And Passes Its Self-Test
    Send                selftest
    Wait For Line On Uart    m-selftest-clock-pass
    Wait For Line On Uart    m-selftest-memory-pass
    Wait For Line On Uart    m-selftest-stack-pass

Inference Gives The Bytes Of TensorFlow Lite Micro
    Infer
    Send                output
    Wait For Line On Uart    m-output-${EXPECTED}

Instruction Count Is Exact And Repeats
    Remove File         ${OUTPUT_DIR}/markers.txt
    Log Marker          nb_mark_begin
    Log Marker          nb_mark_end
    ${first}=           Count One Inference
    ${second}=          Count One Inference
    Should Be Equal     ${first}    ${second}
    Log                 executed instructions: ${first}    console=True
    IF    $INSTRUCTIONS != 'any'
        Should Be Equal As Integers    ${first}    ${INSTRUCTIONS}
    END

A Garbled Command Is Answered And Forgotten
    Write To Uart       db zz%
    Wait For Line On Uart    e-\\[    treatAsRegex=True
    Wait For Line On Uart    m-ready
    Infer

*** Keywords ***
Boot
    Execute Command     $elf=@${ELF}
    Execute Command     include @${SCRIPT}
    Create Terminal Tester    sysbus.uart0    timeout=60
    Start Emulation
    Wait For Line On Uart    "target":"mps2-an386"
    Wait For Line On Uart    m-init-done
    Wait For Line On Uart    m-ready

Send
    [Arguments]         ${command}
    Write To Uart       ${command}%

Infer
    Send                db load ${INPUT_BYTES}
    Wait For Line On Uart    m-ready
    FOR    ${start}    IN RANGE    0    ${INPUT_BYTES}    512
        ${digits}=          Evaluate    ''.join('%02x' % (7 * i % 256) for i in range(${start}, ${start} + 512))
        Send                db ${digits}
        IF    ${start} + 512 == ${INPUT_BYTES}
            Wait For Line On Uart    m-load-done
        END
        Wait For Line On Uart    m-ready
    END
    Send                infer 1
    Wait For Line On Uart    m-infer-done
    Wait For Line On Uart    m-results-
    Wait For Line On Uart    m-ready

Log Marker
    [Arguments]         ${symbol}
    ${address}=         Execute Command    sysbus GetSymbolAddress "${symbol}"
    ${address}=         Evaluate    $address.strip()
    Execute Command     cpu AddHook ${address} "System.IO.File.AppendAllText('${OUTPUT_DIR}/markers.txt', '%d' % self.ExecutedInstructions + chr(10))"

Count One Inference
    [Documentation]     Renode cuts a translated block at a hook, so the count there is exact; it can
    ...                 miss a hook, so exactly two passes are demanded.
    Infer
    ${text}=            Get File    ${OUTPUT_DIR}/markers.txt
    Remove File         ${OUTPUT_DIR}/markers.txt
    @{passes}=          Evaluate    [int(line) for line in $text.split()]
    Length Should Be    ${passes}    2
    ${count}=           Evaluate    ${passes}[1] - ${passes}[0]
    Should Be True      ${count} > 100000
    RETURN              ${count}
