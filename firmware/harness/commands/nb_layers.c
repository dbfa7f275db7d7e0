// SPDX-License-Identifier: Apache-2.0
/* `profile layers`: where the time of an inference goes. */
#include "nb_harness.h"
#include "nb_model.h"
#include "nb_port.h"
#include "nb_text.h"

void nb_profile_layers(void) {
  for (uint32_t layer = nb_model.pushed_layers; layer < nb_model.layer_count;) {
    nb_port_lap_start();
    uint32_t next = nb_model_run(layer);
    uint32_t ticks = nb_port_lap_ticks();
    nb_put_text("m-layer-{");
    nb_put_pair("index", layer);
    nb_next_pair("layers", next - layer);
    if (ticks != NB_PORT_LAP_OVERFLOW && ticks != 0U) {
      nb_next_pair("ticks", ticks);
    } else {
      nb_port_write(',');
      nb_put_key("ticks");
      nb_put_text("null"); /* the counter stood still, or was too short */
    }
    nb_put_line("}");
    layer = next;
  }
}
