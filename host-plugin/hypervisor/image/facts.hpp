#pragma once
#include <string>
#include <vector>

#include "hypervisor/hypervisor.hpp"
#include "serialization/value.hpp"

/// Disks of VMs that are off: read through a storage daemon of ours (ADR-0012).
namespace stillpoint::hypervisor::image {

inline constexpr const char* our_bitmaps = "stillpoint-";

/// What `qemu-img info` tells about a disk image and all that lies below it.
struct ImageFacts {
    ByteCount size;
    bool persistent_bitmaps = false;
    std::vector<BitmapInfo> bitmaps;  // ours, on the active layer
    std::string data_file;            // of the active layer; empty: none
    std::vector<std::string> files;   // every local file that the disk's content is read from
    std::string unreadable;           // why QEMU cannot read it by itself; empty: it can
    serialization::Value told;        // all of it, for the record
};

/// Pure. @param chain the answer to `qemu-img info --backing-chain --output=json`
/// @errors corrupt, id "image.facts"
[[nodiscard]] Result<ImageFacts> read_image(const serialization::Value& chain);

/// Asks qemu-img, without taking any lock. What qemu-img itself cannot read comes back as
/// `unreadable` with its words.
/// @errors not_found, id "qmp.no_qemu_img" · corrupt, id "image.facts" · timeout
[[nodiscard]] Result<ImageFacts> look_at_image(const ImageDisk& disk,
                                               const env::Deadline& deadline);

}  // namespace stillpoint::hypervisor::image
