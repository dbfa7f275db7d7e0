/* What the parts of the harness know together. */
#ifndef NB_STATE_H
#define NB_STATE_H

#include <stdint.h>

typedef struct {
    uint32_t expected;  /* bytes that `db load` announced; 0: none announced */
    uint32_t received;  /* bytes of them that have arrived */
    uint32_t runs;      /* inferences since the input was complete */
    int input_ready;    /* every input tensor holds what the host sent */
    int output_ready;   /* the output tensors hold the answer to that input */
    uint32_t count;     /* inferences that `infer` asks for */
    uint32_t warm_up;   /* and those before them */
} nb_harness_state;

extern nb_harness_state nb_state;

void nb_put_error(const char *text);

/* Reads on to the end of the command and forgets it. Returns NB_PORT_END or 0. */
int nb_skip_command(void);

/* nb_about.c: what device, model and memory are. */
void nb_put_banner(void);
void nb_command_name(void);
void nb_command_profile(void);
void nb_command_firmware(void);
void nb_command_help(void);
void nb_command_memory(void);
void nb_command_selftest(void);

/* nb_input.c: the input tensors, laid end to end. */
uint32_t nb_resident_bytes(void);       /* what of them lies in memory at a time */
uint8_t *nb_input_byte(uint32_t offset); /* `offset` is below their total */
uint32_t nb_input_fingerprint(void);
void nb_command_db_load(const char *arguments);
void nb_command_db_print(void);
int nb_stream_db(int byte); /* from the first digit on; NB_PORT_END or 0 */

/* nb_infer.c: inferences and their results. */
void nb_put_timestamp(void);
int nb_read_counts(const char *arguments); /* of `infer`; 0: an error was printed */
void nb_command_infer(void);
void nb_command_profile_layers(void);
void nb_command_results(void);
void nb_command_output(void);

#endif
