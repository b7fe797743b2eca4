#pragma once

#include <ATen/core/ivalue.h>

#include "qnative/config.h"

// The saved state of a config: nested tuples of None, bool, int, float and str,
//   (class name, format version, tables, root)
// tables: the distinct objects, lists and dicts, one table per kind. They refer to each other by
// index, so that shared objects are shared again after loading. root: the index of the object in
// its table; for a BackendConfig (name, ((key, index of the pattern config), ...)).
namespace qnative::state {

template <typename T>
c10::IValue save(const T& object);

// Throws c10::ValueError with the place of the damage.
template <typename T>
c10::intrusive_ptr<T> load(const c10::IValue& state);

}  // namespace qnative::state
