*** Comments ***
nRF52840, by its plain UART, in Renode 1.15 or newer:

    renode-test --variable ELF:$PWD/build/firmware-nano-33-ble.elf tests/renode/nano-33-ble.robot

*** Settings ***
Resource            harness.resource
Test Setup          Boot
Test Teardown       Reset Emulation

*** Variables ***
${TARGET}           nano-33-ble
${UART}             uart0
${ELF}              ${CURDIR}/../../build/firmware-nano-33-ble.elf

*** Test Cases ***
Firmware Boots And Passes Its Self-Test
    Self-Test Should Pass

Inference Gives The Bytes Of TensorFlow Lite Micro
    Inference Should Give The Bytes Of TensorFlow Lite Micro

Instruction Count Is Exact And Repeats
    Instruction Count Should Repeat

A Garbled Command Is Answered And Forgotten
    Garbled Command Should Be Answered And Forgotten
