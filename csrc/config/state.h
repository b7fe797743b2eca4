#pragma once

#include <ATen/core/ivalue.h>

#include "qnative/config.h"

// What is written to a file: nested tuples of None, bool, int, float and str,
//   (class name, format version, tables, root)
// tables: the distinct objects, lists and dicts in it, one table for each kind; they name each
// other by index, so that what was shared is shared again after loading. root: the index of the
// object in its table, for a BackendConfig (name, ((key, index of the pattern config), ...)).
namespace qnative::state {

template <typename T>
c10::IValue save(const T& object);

// Throws c10::ValueError that says what is wrong with `state`.
template <typename T>
c10::intrusive_ptr<T> load(const c10::IValue& state);

}  // namespace qnative::state
