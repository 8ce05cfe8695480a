#include "service/plan_report.hpp"

#include <algorithm>

#include "serialization/fields.hpp"

namespace stillpoint::linux_guest {

using serialization::Value;

namespace {

constexpr std::size_t name_columns_max = 40;

std::string padded(std::string text, std::size_t columns) {
    if (text.size() < columns) text.append(columns - text.size(), ' ');
    return text + "  ";
}

struct FreezeEntry {
    std::string name;
    std::string type;
    std::string device;
    int level = 0;
    bool freezable = true;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("name", s.name);
        v("type", s.type);
        v("device", s.device);
        v("level", s.level);
        v("freezable", s.freezable);
    }
};

struct LeftEntry {
    std::string name;
    std::string type;
    std::string device;
    bool excluded = false;
    std::string note;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("name", s.name);
        v("type", s.type);
        v("device", s.device);
        v("excluded", s.excluded);
        v("note", s.note);
    }
};

struct PlanReport {
    std::vector<FreezeEntry> freeze;
    std::vector<LeftEntry> not_frozen;
    std::vector<std::string> read_only;
    std::vector<std::string> unmatched;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("freeze", s.freeze);
        v("not_frozen", s.not_frozen);
        v("read_only", s.read_only);
        v("unmatched", s.unmatched);
    }
};

}  // namespace

std::string plan_text(const FreezePlan& plan) {
    std::size_t columns = 0;
    for (const Target& target : plan.targets) columns = std::max(columns, target.name.size());
    for (const Uncovered& left : plan.uncovered) columns = std::max(columns, left.name.size());
    columns = std::min(columns, name_columns_max);
    std::string text;
    for (const Target& target : plan.targets) {
        text += padded(target.can_freeze ? "freeze" : "sync", 6) + padded(target.name, columns) +
                padded(target.type, 6) + target.device.text();
        if (target.level > 0) text += "  level " + std::to_string(target.level);
        if (!target.listener.empty()) text += "  watched by " + target.listener;
        text += '\n';
    }
    for (const Uncovered& left : plan.uncovered) {
        text += padded("leave", 6) + padded(left.name, columns) + padded(left.type, 6) +
                padded(left.device.text(), 0) + left.note + '\n';
    }
    for (const std::string& entry : plan.unmatched) {
        text += "note    " + entry + " in guest.xml matches no block filesystem\n";
    }
    return text.empty() ? "no writable block filesystem is mounted\n" : text;
}

Value plan_value(const FreezePlan& plan) {
    PlanReport report;
    for (const Target& target : plan.targets) {
        report.freeze.push_back(
            {target.name, target.type, target.device.text(), target.level, target.can_freeze});
    }
    for (const Uncovered& left : plan.uncovered) {
        report.not_frozen.push_back(
            {left.name, left.type, left.device.text(), left.excluded, left.note});
    }
    report.read_only = plan.read_only;
    report.unmatched = plan.unmatched;
    return serialization::to_value(report);
}

}  // namespace stillpoint::linux_guest
