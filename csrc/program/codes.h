#pragma once

#include <ATen/core/ivalue.h>

#include "json.h"

// Enumerations of torch's export schema (torch/_export/serde/schema.yaml) as torch's own.
namespace qnative::program {

at::ScalarType read_scalar_type(const json::Value& code);
at::MemoryFormat read_memory_format(const json::Value& code);
at::Layout read_layout(const json::Value& code);

// {"type": "cpu", "index": null}. Programs run on the CPU: any other device is an error.
at::Device read_device(const json::Value& device);

}  // namespace qnative::program
