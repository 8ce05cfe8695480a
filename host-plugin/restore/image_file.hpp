#pragma once
#include <memory>
#include <optional>

#include "env/cancel.hpp"
#include "env/files.hpp"

namespace stillpoint::restore {

/// A disk image to compare with. @threads any, concurrently
class ImageFile {
public:
    virtual ~ImageFile() = default;
    [[nodiscard]] virtual ByteCount size() const = 0;
    virtual Status read(ByteOffset at, std::span<std::byte> into) = 0;
    /// First stretch at or after `at`, before `end`, that may hold data; nullopt: zeros only.
    virtual Result<std::optional<Extent>> next_data(ByteOffset at, ByteOffset end) = 0;
};

/// Opens a raw file, a block device or a qcow2 image. A file counts as qcow2 when it begins like
/// one and is not named *.raw or *.img: what a guest wrote into its own disk must not decide.
/// @param connections how many threads will read at once
[[nodiscard]] Result<std::unique_ptr<ImageFile>> open_image(const env::Path& file,
                                                            unsigned connections,
                                                            const env::CancelToken& cancel);

}  // namespace stillpoint::restore
