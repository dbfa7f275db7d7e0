// SPDX-License-Identifier: Apache-2.0
#include "nb_text.h"

#include "nb_port.h"

void nb_put_text(const char *text) {
  while (*text != '\0') {
    nb_port_write((uint8_t)*text++);
  }
}

void nb_put_line(const char *text) {
  nb_put_text(text);
  nb_put_text("\r\n");
}

void nb_put_error(const char *text) {
  nb_put_text("e-[");
  nb_put_text(text);
  nb_put_line("]");
}

int nb_skip_command(void) {
  int byte;
  do {
    byte = nb_port_read();
  } while (byte != '%' && byte != NB_PORT_END);
  return byte == NB_PORT_END ? NB_PORT_END : 0;
}

/* Divides by ten 16 bits at a time: the library's 64-bit division is larger than this file. */
static uint32_t nb_take_digit(uint64_t *value) {
  uint32_t rest = 0;
  uint64_t quotient = 0;
  for (uint32_t shift = 64U; shift > 0U;) {
    shift -= 16U;
    uint32_t part = rest << 16 | (uint32_t)(*value >> shift & 0xFFFFU);
    quotient = quotient << 16 | part / 10U;
    rest = part % 10U;
  }
  *value = quotient;
  return rest;
}

void nb_put_unsigned(uint64_t value) {
  char digits[20];
  uint32_t count = 0;
  do {
    digits[count++] = (char)('0' + (char)nb_take_digit(&value));
  } while (value != 0U);
  while (count > 0U) {
    nb_port_write((uint8_t)digits[--count]);
  }
}

void nb_put_hex(uint32_t value, uint32_t digits) {
  while (digits > 0U) {
    digits--;
    nb_port_write((uint8_t) "0123456789abcdef"[(value >> (4U * digits)) & 15U]);
  }
}

void nb_put_thousandths(int32_t value) {
  uint32_t magnitude = value < 0 ? 0U - (uint32_t)value : (uint32_t)value;
  if (value < 0) {
    nb_port_write('-');
  }
  nb_put_unsigned(magnitude / 1000U);
  nb_port_write('.');
  magnitude %= 1000U;
  nb_port_write((uint8_t)('0' + magnitude / 100U));
  nb_port_write((uint8_t)('0' + magnitude / 10U % 10U));
  nb_port_write((uint8_t)('0' + magnitude % 10U));
}

void nb_put_json_string(const char *text) {
  nb_port_write('"');
  for (; *text != '\0'; text++) {
    uint8_t byte = (uint8_t)*text;
    if (byte == '"' || byte == '\\') {
      nb_port_write('\\');
      nb_port_write(byte);
    } else if (byte < 0x20U) {
      nb_put_text("\\u");
      nb_put_hex(byte, 4);
    } else {
      nb_port_write(byte);
    }
  }
  nb_port_write('"');
}

void nb_put_key(const char *key) {
  nb_put_json_string(key);
  nb_port_write(':');
}

void nb_put_pair(const char *key, uint64_t value) {
  nb_put_key(key);
  nb_put_unsigned(value);
}

void nb_next_pair(const char *key, uint64_t value) {
  nb_port_write(',');
  nb_put_pair(key, value);
}

void nb_put_count(const char *text, uint64_t value) {
  nb_put_text(text);
  nb_put_unsigned(value);
  nb_put_line("");
}

int nb_hex_digit(int byte) {
  if (byte >= '0' && byte <= '9') {
    return byte - '0';
  }
  if (byte >= 'a' && byte <= 'f') {
    return byte - 'a' + 10;
  }
  if (byte >= 'A' && byte <= 'F') {
    return byte - 'A' + 10;
  }
  return -1;
}

int nb_get_unsigned(const char **text, uint32_t *value) {
  const char *cursor = *text;
  uint32_t number = 0;
  int digits = 0;
  while (*cursor == ' ') {
    cursor++;
  }
  for (; *cursor >= '0' && *cursor <= '9'; cursor++) {
    uint32_t digit = (uint32_t)(*cursor - '0');
    if (number > (UINT32_MAX - digit) / 10U) {
      return 0;
    }
    number = number * 10U + digit;
    digits++;
  }
  while (*cursor == ' ') {
    cursor++;
  }
  *text = cursor;
  *value = number;
  return digits > 0;
}
