// Frees what a C library made, with that library's own function: std::unique_ptr<T, Deleter<T_free>>.
#pragma once

namespace daicho {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

}  // namespace daicho
