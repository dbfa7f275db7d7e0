*** Comments ***
STM32F746, in Renode 1.15 or newer:

    renode-test --variable ELF:$PWD/build/firmware-stm32f746g-disco.elf tests/renode/stm32f746g-disco.robot

*** Settings ***
Resource            harness.resource
Test Setup          Boot
Test Teardown       Reset Emulation

*** Variables ***
${TARGET}           stm32f746g-disco
${UART}             usart1
${ELF}              ${CURDIR}/../../build/firmware-stm32f746g-disco.elf

*** Test Cases ***
Firmware Boots And Passes Its Self-Test
    Self-Test Should Pass

Inference Gives The Bytes Of TensorFlow Lite Micro
    Inference Should Give The Bytes Of TensorFlow Lite Micro

Instruction Count Is Exact And Repeats
    Instruction Count Should Repeat

A Garbled Command Is Answered And Forgotten
    Garbled Command Should Be Answered And Forgotten
