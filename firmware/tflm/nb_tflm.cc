// SPDX-License-Identifier: Apache-2.0
// nb_model.h on top of TensorFlow Lite Micro, which its user has built: the same harness then runs
// the flatbuffer as it is, for a comparison. Not part of the default build; C++17, no heap.
#include <new>

#include "nb_model.h"
#include "nb_port.h"
#include "nb_text.h"
#include "nb_tflm_model.h"  // generated: flatbuffer, operators, arena
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/micro/system_setup.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace {

using Resolver = tflite::MicroMutableOpResolver<NB_TFLM_OPERATORS>;

alignas(16) uint8_t arena[NB_TFLM_ARENA_BYTES] __attribute__((section(".nb_arena")));
// No constructor runs before main: made in place, by start.
alignas(Resolver) uint8_t resolver_place[sizeof(Resolver)];
alignas(tflite::MicroInterpreter) uint8_t interpreter_place[sizeof(tflite::MicroInterpreter)];
tflite::MicroInterpreter *interpreter;

[[noreturn]] void stop(const char *why) {
  nb_put_text("\r\ne-[TFLM: ");
  nb_put_text(why);
  nb_put_line("; the device has halted]");
  nb_put_line("m-ready");
  for (;;) {
    (void)nb_port_read();
  }
}

tflite::MicroInterpreter *start() {
  if (interpreter != nullptr) {
    return interpreter;
  }
  tflite::InitializeTarget();
  auto *resolver = new (resolver_place) Resolver;
  nb_tflm_add_operators(*resolver);
  auto *made = new (interpreter_place) tflite::MicroInterpreter(
      tflite::GetModel(nb_tflm_flatbuffer), *resolver, arena, sizeof arena);
  if (made->AllocateTensors() != kTfLiteOk) {
    stop("AllocateTensors failed: an operator is missing in the library, or the arena is small");
  }
  interpreter = made;
  return interpreter;
}

}  // namespace

extern "C" {

uint32_t nb_model_run(uint32_t layer) {
  return layer;  // no layers of ours to time: layer_count is 0
}

void *nb_model_input(uint32_t index) {
  return start()->input(index)->data.raw;
}

const void *nb_model_output(uint32_t index) {
  return start()->output(index)->data.raw;
}

int nb_push_row(const void *row) {
  (void)row;  // the input comes as a whole: pushed_rows is 0
  return 0;
}

void nb_model_invoke(void) {
  if (start()->Invoke() != kTfLiteOk) {
    stop("Invoke failed");
  }
}

uint32_t nb_model_arena_used(void) {
  return static_cast<uint32_t>(start()->arena_used_bytes());
}

// What the C++ library would bring along with its heap.
void __cxa_pure_virtual(void) {
  stop("pure virtual call");
}

}  // extern "C"

void operator delete(void *) noexcept {}
void operator delete(void *, std::size_t) noexcept {}
