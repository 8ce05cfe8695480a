#include "chunk/gcm.hpp"

namespace stillpoint::chunk {

std::unique_ptr<Gcm> wide_gcm(const SecretKey&) {
    return nullptr;
}

}  // namespace stillpoint::chunk
