#include "images.hpp"

#include <algorithm>

#include "serialization/value.hpp"

namespace stillpoint::test {

using hypervisor::Snapshot;
namespace fs = std::filesystem;

env::Path OffLab::add(const std::string& name, const std::string& format,
                      const std::string& create_options) {
    const env::Path image =
        lab.make_disk({.id = name, .format = format, .create_options = create_options});
    take(name, image, format);
    return image;
}

void OffLab::take(const std::string& name, const env::Path& image, const std::string& format) {
    disks.push_back({.name = name, .path = image, .format = format});
}

std::unique_ptr<hypervisor::Vm> OffLab::open() const {
    return need(hypervisor::open_image_vm("lab", {disks}, real_clock));
}

hypervisor::SnapshotPlan OffLab::plan(const std::string& parent, const std::string& next) {
    std::vector<std::string> names;
    for (const auto& disk : disks) names.push_back(disk.name);
    return plan_of(lab, names, parent, next);
}

void write_offline(const env::Path& image, const std::string& words, const std::string& format) {
    run({"qemu-io", "-f", format, "-c", words, image});
}

std::string bitmaps_in(const env::Path& image) {
    const auto info = need(serialization::parse_json(
        run({"qemu-img", "info", "-U", "--output=json", "-f", "qcow2", image})));
    const auto* specific = info.find("format-specific");
    const auto* data = specific == nullptr ? nullptr : specific->find("data");
    const auto* list = data == nullptr ? nullptr : data->find("bitmaps");
    if (list == nullptr) return {};
    std::vector<std::string> found;
    for (const auto& bitmap : *list->array()) {
        std::string flags;
        for (const auto& flag : *bitmap.find("flags")->array()) {
            flags += (flags.empty() ? "" : "+") + *flag.text();
        }
        found.push_back(bitmap.text_or("name") + ":" + flags);
    }
    std::sort(found.begin(), found.end());
    std::string text;
    for (const auto& one : found) text += (text.empty() ? "" : " ") + one;
    return text;
}

Bytes content_of(const env::Path& image, const std::string& format) {
    const env::Path flat = image.string() + ".flat";
    run({"qemu-img", "convert", "-U", "-f", format, "-O", "raw", image, flat});
    Bytes bytes = need(env::read_file(flat, 1u << 30));
    need(env::remove_file(flat));
    return bytes;
}

bool is_sound(const env::Path& image) {
    const auto checked = need(env::run_process({"qemu-img", "check", "-q", image}, soon(), {}));
    return checked.exit_code == 0 || checked.exit_code == 3;  // 3: leaked clusters only
}

int daemons_of(const OffLab& lab) {
    int count = 0;
    for (const auto& entry : fs::directory_iterator{"/proc"}) {
        const auto log = fs::path{entry.path() / "fd/1"};
        std::error_code error;
        const auto target = fs::read_symlink(log, error);
        // A log that was removed is "daemon.log (deleted)".
        if (!error && target.string().starts_with(lab.path().string()) &&
            target.filename().string().starts_with("daemon.log")) {
            ++count;
        }
    }
    return count;
}

Result<Taken> take_backup(hypervisor::Vm& vm, const hypervisor::SnapshotPlan& plan,
                          const Steps& steps) {
    SP_ASSIGN(const auto snapshot, vm.plan_snapshot(plan));
    SP_TRY(snapshot->prepare(soon(), {}));
    SP_TRY(snapshot->take(soon()));
    SP_ASSIGN(const auto exports, snapshot->open_exports(soon()));
    if (steps.while_reading) steps.while_reading();
    Taken taken;
    for (const auto& one : exports) {
        if (!one.dirty_context.empty()) taken.dirty[one.disk] = dirty_map(one);
        taken.content[one.disk] = read_export(one, plan.job_folder);
    }
    if (steps.before_proof) steps.before_proof();
    const Status proven = snapshot->prove_alive();
    if (!proven) {
        SP_TRY(snapshot->end(Snapshot::Outcome::failed, soon()));
        return fail(proven.error());
    }
    SP_TRY(snapshot->prove_alive());  // again: nothing has happened since
    SP_TRY(snapshot->end(Snapshot::Outcome::published, soon()));
    return taken;
}

std::string failure_of(const Result<Taken>& taken) {
    return taken ? "done" : taken.error().id;
}

}  // namespace stillpoint::test
