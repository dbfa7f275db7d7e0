/* `profile layers`: where the time of an inference goes. */
#include "nb_harness.h"
#include "nb_model.h"
#include "nb_port.h"
#include "nb_text.h"

void nb_profile_layers(void) {
    for (const nb_model_step *step = nb_model_steps; step->run != 0; step++) {
        nb_port_lap_start();
        step->run();
        uint32_t ticks = nb_port_lap_ticks();
        nb_put_text("m-layer-{");
        nb_put_pair("index", step->first_layer);
        nb_put_text(",");
        nb_put_pair("layers", step[1].first_layer - step->first_layer);
        nb_put_text(",");
        nb_put_key("name");
        nb_put_json_string(nb_model.layer_names[step->first_layer]);
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
