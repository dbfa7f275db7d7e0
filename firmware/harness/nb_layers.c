/* `profile layers`: where the time of an inference goes. */
#include "nb_harness.h"
#include "nb_model.h"
#include "nb_port.h"
#include "nb_text.h"

void nb_profile_layers(void) {
    for (uint32_t i = 0; i < nb_model.layer_count; i++) {
        nb_port_lap_start();
        nb_model_layers[i]();
        uint32_t ticks = nb_port_lap_ticks();
        nb_put_text("m-layer-{");
        nb_put_pair("index", i);
        nb_put_text(",");
        nb_put_key("name");
        nb_put_json_string(nb_model.layer_names[i]);
        nb_put_text(",");
        if (ticks != NB_PORT_LAP_OVERFLOW && ticks != 0U) {
            nb_put_pair("ticks", ticks);
        } else {
            nb_put_key("ticks");
            nb_put_text("null"); /* the counter stood still, or was too short */
        }
        nb_put_line("}");
    }
}
