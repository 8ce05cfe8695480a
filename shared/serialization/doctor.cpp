#include "serialization/doctor.hpp"

#include <algorithm>
#include <cstdio>

namespace stillpoint::serialization {
namespace {

std::string padded(std::string text, std::size_t columns) {
    if (text.size() < columns) text.append(columns - text.size(), ' ');
    return text;
}

std::string in_ms(std::int64_t ns) {
    char text[32];
    std::snprintf(text, sizeof text, "%8.1f ms", static_cast<double>(ns) / 1e6);
    return text;
}

}  // namespace

bool needs_repair(const Diagnosis& diagnosis) {
    return std::ranges::any_of(diagnosis.findings, [](const Finding& finding) {
        return finding.severity == "warning" || finding.severity == "error";
    });
}

std::string diagnosis_text(const Diagnosis& diagnosis) {
    std::string text;
    for (const MountCheck& check : diagnosis.mounts) {
        text += padded(check.name, 32) + " " + padded(check.type, 6);
        text += check.froze ? "  sync" + in_ms(check.sync_ns) + "  freeze" +
                                  in_ms(check.freeze_ns) + "  thaw" + in_ms(check.thaw_ns)
                            : "  not frozen";
        text += (check.note.empty() ? "" : "  " + check.note) + "\n";
    }
    for (const Finding& finding : diagnosis.findings) {
        text += padded(finding.severity, 7) + " " +
                (finding.object.empty() ? "" : finding.object + ": ") + finding.text + " [" +
                finding.id + "]\n";
        if (!finding.remedy.empty()) text += "        -> " + finding.remedy + "\n";
    }
    return text + (needs_repair(diagnosis) ? "" : "nothing to repair\n");
}

}  // namespace stillpoint::serialization
