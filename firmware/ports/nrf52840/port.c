/* nb_port.h for nRF52840: UARTE0 on the board's pins, TIMER0 for the time, an LED. The core runs
 * at 64 MHz always; the crystal makes that (and the UART) exact. EasyDMA reads and writes RAM
 * only, a byte at a time here: the receiver keeps up to six more bytes in its own buffer. */
#include "nb_port.h"

#include "nb_chip.h"

#if NB_UART_BAUD != 115200
#error "the port knows the baud rate register's value for 115200 alone"
#endif

#define NB_WAIT_TURNS 200000U

static volatile uint8_t nb_received, nb_sent;
static uint32_t nb_last_count;
static uint64_t nb_elapsed; /* microseconds since nb_port_init */

static uint32_t nb_pin(uint32_t port, uint32_t pin) {
    return port << 5 | pin;
}

static uint32_t nb_count(void) {
    TIMER0_TASKS_CAPTURE0 = 1;
    return TIMER0_CC0;
}

void nb_port_init(void) {
    NVMC_ICACHECNF = NVMC_ICACHECNF_CACHEEN;
    CLOCK_EVENTS_HFCLKSTARTED = 0;
    CLOCK_TASKS_HFCLKSTART = 1;
    for (uint32_t i = 0; i < NB_WAIT_TURNS && CLOCK_EVENTS_HFCLKSTARTED == 0U; i++) {
    }
    nb_counter_init();

    TIMER0_BITMODE = TIMER_BITMODE_32;
    TIMER0_PRESCALER = TIMER_PRESCALER_1_MHZ;
    TIMER0_CC1 = UINT32_MAX; /* wakes the core once a turn */
    TIMER0_INTENSET = TIMER_INT_COMPARE1;
    TIMER0_TASKS_CLEAR = 1;
    TIMER0_TASKS_START = 1;
    nb_last_count = nb_count();

    GPIO_PIN_CNF(NB_BOARD_LED_PORT, NB_BOARD_LED_PIN) = GPIO_PIN_CNF_OUTPUT;
    nb_port_busy(0);
    GPIO_OUTSET(NB_BOARD_UART_TX_PORT) = 1U << NB_BOARD_UART_TX_PIN; /* an idle line is high */
    GPIO_PIN_CNF(NB_BOARD_UART_TX_PORT, NB_BOARD_UART_TX_PIN) = GPIO_PIN_CNF_OUTPUT;
    GPIO_PIN_CNF(NB_BOARD_UART_RX_PORT, NB_BOARD_UART_RX_PIN) = GPIO_PIN_CNF_INPUT_PULL_UP;
    UARTE0_PSEL_TXD = nb_pin(NB_BOARD_UART_TX_PORT, NB_BOARD_UART_TX_PIN);
    UARTE0_PSEL_RXD = nb_pin(NB_BOARD_UART_RX_PORT, NB_BOARD_UART_RX_PIN);
    UARTE0_BAUDRATE = UARTE_BAUD_115200;
    UARTE0_ENABLE = UARTE_ENABLE;
    UARTE0_INTENSET = UARTE_INT_ENDRX;
    UARTE0_RXD_PTR = (uint32_t)(uintptr_t)&nb_received;
    UARTE0_RXD_MAXCNT = 1;
    UARTE0_EVENTS_ENDRX = 0;
    UARTE0_TASKS_STARTRX = 1;
    nb_irq_enable(UARTE0_IRQ);
    nb_irq_enable(TIMER0_IRQ);
}

uint64_t nb_port_microseconds(void) {
    uint32_t count = nb_count();
    nb_elapsed += count - nb_last_count; /* modulo 2^32: right across one turn (71 minutes) */
    nb_last_count = count;
    return nb_elapsed;
}

/* Sleeps while nothing arrives; see ports/mps2/port.c. */
int nb_port_read(void) {
    for (;;) {
        TIMER0_EVENTS_COMPARE1 = 0;
        nb_irq_clear(UARTE0_IRQ);
        nb_irq_clear(TIMER0_IRQ);
        if (UARTE0_EVENTS_ENDRX != 0U) {
            int byte = nb_received;
            UARTE0_ERRORSRC = UARTE0_ERRORSRC; /* bits that are written as 1 are cleared */
            UARTE0_EVENTS_ENDRX = 0;
            UARTE0_TASKS_STARTRX = 1;
            return byte;
        }
        (void)nb_port_microseconds();
        __asm__ volatile("dsb\n\twfi" ::: "memory");
    }
}

void nb_port_write(uint8_t byte) {
    nb_sent = byte;
    UARTE0_TXD_PTR = (uint32_t)(uintptr_t)&nb_sent;
    UARTE0_TXD_MAXCNT = 1;
    UARTE0_EVENTS_ENDTX = 0;
    UARTE0_TASKS_STARTTX = 1;
    while (UARTE0_EVENTS_ENDTX == 0U) {
    }
}

uint32_t nb_port_clock_hz(void) {
    return NB_CLOCK_HZ;
}

void nb_port_busy(int busy) {
    if ((busy != 0) == (NB_BOARD_LED_ON != 0)) {
        GPIO_OUTSET(NB_BOARD_LED_PORT) = 1U << NB_BOARD_LED_PIN;
    } else {
        GPIO_OUTCLR(NB_BOARD_LED_PORT) = 1U << NB_BOARD_LED_PIN;
    }
}
