#include "hypervisor/image/facts.hpp"

#include <algorithm>

#include "env/process.hpp"

namespace stillpoint::hypervisor::image {
namespace {

using serialization::Array;
using serialization::Value;

tl::unexpected<Error> unexpected(const std::string& what) {
    return fail(Errc::corrupt, "image.facts", "qemu-img told " + what + " in an unknown shape");
}

const Value* specifics(const Value& image) {
    const Value* specific = image.find("format-specific");
    return specific == nullptr ? nullptr : specific->find("data");
}

bool has_flag(const Value& bitmap, const char* wanted) {
    const Value* flags = bitmap.find("flags");
    if (flags == nullptr || flags->array() == nullptr) return false;
    return std::any_of(flags->array()->begin(), flags->array()->end(), [&](const Value& flag) {
        return flag.text() != nullptr && *flag.text() == wanted;
    });
}

// "auto": it records whenever somebody writes. "in-use": a writer died with it.
std::vector<BitmapInfo> read_bitmaps(const Value& data) {
    std::vector<BitmapInfo> bitmaps;
    const Value* list = data.find("bitmaps");
    if (list == nullptr || list->array() == nullptr) return bitmaps;
    for (const Value& entry : *list->array()) {
        BitmapInfo info;
        info.name = entry.text_or("name");
        if (!info.name.starts_with(our_bitmaps)) continue;
        info.persistent = true;
        info.granularity_bytes = static_cast<std::uint32_t>(
            std::clamp<std::int64_t>(entry.integer_or("granularity", 0), 0, 1 << 30));
        const bool usable = has_flag(entry, "auto") && !has_flag(entry, "in-use");
        info.state = usable ? BitmapState::usable : BitmapState::inconsistent;
        bitmaps.push_back(std::move(info));
    }
    return bitmaps;
}

bool is_encrypted(const Value& image) {
    const Value* data = specifics(image);
    return image.boolean_or("encrypted", false) || image.text_or("format") == "luks" ||
           (data != nullptr && data->find("encrypt") != nullptr);
}

/// The external data file of a layer, by its absolute path; empty: none.
std::string data_file_of(const Value& image) {
    const Value* data = specifics(image);
    const std::string name = data == nullptr ? "" : data->text_or("data-file");
    if (name.empty() || name.front() == '/' || name.find(':') != std::string::npos) return name;
    return env::Path{image.text_or("filename")}.parent_path() / name;
}

std::string obstacle(const Value& image) {
    const std::string name = image.text_or("filename");
    if (is_encrypted(image)) {
        return name + " is encrypted and only the VM's own configuration has its secret";
    }
    for (const std::string& file : {name, data_file_of(image)}) {
        if (!file.empty() && file.front() != '/') return file + " is no local file";
    }
    return {};
}

}  // namespace

Result<ImageFacts> read_image(const Value& chain) {
    if (chain.array() == nullptr || chain.array()->empty()) return unexpected("the layers");
    const Array& layers = *chain.array();
    const Value& active = layers.front();
    ImageFacts facts;
    facts.told = chain;
    const std::int64_t size = active.integer_or("virtual-size", -1);
    if (size < 0) return unexpected("the size");
    facts.size = ByteCount{static_cast<std::uint64_t>(size)};
    facts.data_file = data_file_of(active);
    const Value* data = specifics(active);
    if (active.text_or("format") == "qcow2" && data != nullptr) {
        facts.persistent_bitmaps = data->text_or("compat", "0.10") != "0.10";
        facts.bitmaps = read_bitmaps(*data);
    }
    for (const Value& layer : layers) {
        if (facts.unreadable.empty()) facts.unreadable = obstacle(layer);
        facts.files.push_back(layer.text_or("filename"));
        if (const auto extra = data_file_of(layer); !extra.empty()) facts.files.push_back(extra);
    }
    return facts;
}

Result<ImageFacts> look_at_image(const ImageDisk& disk, const env::Deadline& deadline) {
    const auto told = env::run_process({"qemu-img", "info", "--force-share", "--backing-chain",
                                        "--output=json", "-f", disk.format, disk.path},
                                       deadline, {});
    if (!told && told.error().code == Errc::not_found) {
        return fail(Errc::not_found, "qmp.no_qemu_img", told.error().text,
                    "install qemu-utils (qemu-img)");
    }
    if (!told) return fail(told.error());
    if (told->exit_code == 0) {
        SP_ASSIGN(const Value chain, serialization::parse_json(told->out));
        return read_image(chain);
    }
    ImageFacts facts;
    facts.unreadable = told->errors.substr(0, told->errors.find('\n'));
    return facts;
}

}  // namespace stillpoint::hypervisor::image
