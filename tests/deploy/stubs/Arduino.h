// SPDX-License-Identifier: Apache-2.0
/* What the exported sketches use of Arduino's core. */
#ifndef ARDUINO_H
#define ARDUINO_H

#include <stdint.h>

#define HIGH 1
#define OUTPUT 1
#define LOW 0
#define LED_BUILTIN 13

extern "C" {
void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t level);
unsigned long micros(void);
void delay(unsigned long milliseconds);
}

class StubSerial {
public:
    void begin(unsigned long baud);
    int read();
    void print(const char *text);
    void print(uint32_t number);
    void print(double number);
    void println(const char *text);
    void println(uint32_t number);
    void println(double number);
};

extern StubSerial Serial;

void setup();
void loop();

#endif
