*** Comments ***
STM32H743, in Renode 1.15 or newer:

    renode-test --variable ELF:$PWD/build/firmware-nucleo-h743zi2.elf tests/renode/nucleo-h743zi2.robot

*** Settings ***
Resource            harness.resource
Test Setup          Boot
Test Teardown       Reset Emulation

*** Variables ***
${TARGET}           nucleo-h743zi2
${UART}             usart3
${ELF}              ${CURDIR}/../../build/firmware-nucleo-h743zi2.elf

*** Test Cases ***
Firmware Boots And Passes Its Self-Test
    Self-Test Should Pass

Inference Gives The Bytes Of TensorFlow Lite Micro
    Inference Should Give The Bytes Of TensorFlow Lite Micro

Instruction Count Is Exact And Repeats
    Instruction Count Should Repeat

A Garbled Command Is Answered And Forgotten
    Garbled Command Should Be Answered And Forgotten
