*** Comments ***
Arm MPS2 with FPGA image AN386, in Renode 1.15 or newer:

    renode-test --variable ELF:$PWD/build/firmware-mps2-an386.elf tests/renode/mps2-an386.robot

*** Settings ***
Resource            harness.resource
Test Setup          Boot
Test Teardown       Reset Emulation

*** Variables ***
${TARGET}           mps2-an386
${UART}             uart0
${ELF}              ${CURDIR}/../../build/firmware-mps2-an386.elf

*** Test Cases ***
Firmware Boots And Passes Its Self-Test
    Self-Test Should Pass

Inference Gives The Bytes Of TensorFlow Lite Micro
    Inference Should Give The Bytes Of TensorFlow Lite Micro

Instruction Count Is Exact And Repeats
    Instruction Count Should Repeat

A Garbled Command Is Answered And Forgotten
    Garbled Command Should Be Answered And Forgotten
