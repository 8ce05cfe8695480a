#include "hooks/strict_xml.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace stillpoint::hooks {

using tinyxml2::XMLElement;

namespace {

std::string joined(const std::vector<std::string_view>& words) {
    std::string text;
    for (const std::string_view word : words) {
        text += text.empty() ? "" : ", ";
        text += word;
    }
    return text.empty() ? "nothing" : text;
}

std::string in_words(Nanoseconds span) {
    const bool whole = span % std::chrono::seconds{1} == Nanoseconds::zero();
    if (!whole || span == Nanoseconds::zero()) {
        return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(span).count()) +
               "ms";
    }
    return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(span).count()) + "s";
}

}  // namespace

bool is_absolute_path(Dialect dialect, std::string_view text) {
    if (dialect == Dialect::posix) return text.starts_with('/');
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    return text.size() > 3 && letter(text[0]) && text.substr(1, 2) == ":\\";
}

tl::unexpected<Error> StrictXml::wrong(int line, const std::string& text) const {
    return fail(Errc::invalid, kind_.id, file_ + ":" + std::to_string(line) + ": " + text,
                std::string("see ") + kind_.manual);
}

Status StrictXml::document(std::string_view xml, const Child& root) const {
    // The parser would take it for the end, and what follows for absent.
    if (xml.find('\0') != std::string_view::npos) return wrong(1, "there is a byte 0 in it");
    tinyxml2::XMLDocument document;
    if (document.Parse(xml.data(), xml.size()) != tinyxml2::XML_SUCCESS) {
        if (document.ErrorID() == tinyxml2::XML_ERROR_EMPTY_DOCUMENT) return {};
        return wrong(document.ErrorLineNum(), std::string("no valid XML: ") + document.ErrorStr());
    }
    const XMLElement* element = document.RootElement();
    for (auto* node = document.FirstChild(); node != nullptr; node = node->NextSibling()) {
        const bool plain = node->ToComment() != nullptr || node->ToDeclaration() != nullptr;
        if (plain || node == element) continue;
        return wrong(node->GetLineNum(), "there is more than one element in it");
    }
    if (element == nullptr) return {};
    if (root.name != element->Name()) {
        return wrong(element->GetLineNum(), "unknown element <" + std::string(element->Name()) +
                                                ">; accepted: " + std::string(root.name));
    }
    return root.read(*element);
}

Status StrictXml::only_attributes(const XMLElement& element,
                                  const std::vector<std::string_view>& accepted) const {
    for (auto* at = element.FirstAttribute(); at != nullptr; at = at->Next()) {
        if (std::ranges::find(accepted, at->Name()) != accepted.end()) continue;
        return wrong(at->GetLineNum(), "unknown attribute " + std::string(at->Name()) + " of <" +
                                           element.Name() + ">; accepted: " + joined(accepted));
    }
    return {};
}

Status StrictXml::children(const XMLElement& element, const std::vector<Child>& accepted) const {
    std::vector<std::string_view> seen;
    for (auto* node = element.FirstChild(); node != nullptr; node = node->NextSibling()) {
        if (node->ToComment() != nullptr) continue;
        const XMLElement* child = node->ToElement();
        if (child == nullptr) {
            return wrong(node->GetLineNum(),
                         "unexpected text in <" + std::string(element.Name()) + ">");
        }
        const std::string_view name = child->Name();
        const auto found = std::ranges::find(accepted, name, &Child::name);
        if (found == accepted.end()) {
            std::vector<std::string_view> names;
            names.reserve(accepted.size());
            for (const Child& entry : accepted) names.push_back(entry.name);
            return wrong(child->GetLineNum(), "unknown element <" + std::string(name) + "> in <" +
                                                  element.Name() + ">; accepted: " + joined(names));
        }
        if (!found->repeated && std::ranges::find(seen, name) != seen.end()) {
            return wrong(child->GetLineNum(), "<" + std::string(name) + "> stands twice");
        }
        seen.push_back(name);
        SP_TRY(found->read(*child));
    }
    return {};
}

Result<std::string> StrictXml::text(const XMLElement& element) const {
    SP_TRY(only_attributes(element, {}));
    const char* text = element.GetText();
    const bool simple = element.NoChildren() || element.FirstChild() == element.LastChild();
    if (!simple || (text == nullptr && !element.NoChildren())) {
        return wrong(element.GetLineNum(),
                     "<" + std::string(element.Name()) + "> holds text alone");
    }
    return std::string(text == nullptr ? "" : text);
}

Result<std::string> StrictXml::path(const XMLElement& element, const char* attribute) const {
    const char* value = element.Attribute(attribute);
    if (value == nullptr || !is_absolute_path(kind_.dialect, value)) {
        const char* example = kind_.dialect == Dialect::windows ? ", as C:\\folder\\file" : "";
        return wrong(element.GetLineNum(), std::string(attribute) + " of <" + element.Name() +
                                               "> must be an absolute path" + example);
    }
    return std::string(value);
}

Status StrictXml::duration(const XMLElement& element, const char* attribute, Nanoseconds& value,
                           Range range) const {
    const char* text = element.Attribute(attribute);
    if (text == nullptr) return {};
    const auto parsed = parse_duration(text);
    if (!parsed || *parsed < range.least || *parsed > range.most) {
        return wrong(element.GetLineNum(), std::string(attribute) + "=\"" + text +
                                               "\" is not accepted: a duration from " +
                                               in_words(range.least) + " to " +
                                               in_words(range.most) + ", as 500ms, 5s or 2min");
    }
    value = *parsed;
    return {};
}

Status StrictXml::number(const XMLElement& element, const char* attribute, int& value,
                         NumberRange range) const {
    const char* text = element.Attribute(attribute);
    if (text == nullptr) return {};
    const std::string_view digits = text;
    int number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc{} || end != digits.data() + digits.size() || number < range.least ||
        number > range.most) {
        return wrong(element.GetLineNum(),
                     std::string(attribute) + "=\"" + text + "\" is not accepted: a number from " +
                         std::to_string(range.least) + " to " + std::to_string(range.most));
    }
    value = number;
    return {};
}

Status StrictXml::yes_or_no(const XMLElement& element, const char* attribute, bool& value) const {
    const char* text = element.Attribute(attribute);
    if (text == nullptr) return {};
    const std::string_view word = text;
    if (word != "yes" && word != "no") {
        return wrong(element.GetLineNum(),
                     std::string(attribute) + "=\"" + text + "\" is not accepted: yes or no");
    }
    value = word == "yes";
    return {};
}

std::optional<Nanoseconds> parse_duration(std::string_view text) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || number < 0) return std::nullopt;
    const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
    constexpr std::int64_t hour_ms = 3'600'000;
    constexpr std::array<std::pair<std::string_view, std::int64_t>, 4> units{
        {{"ms", 1}, {"s", 1000}, {"min", 60'000}, {"h", hour_ms}}};
    const auto found =
        std::ranges::find(units, unit, [](const auto& entry) { return entry.first; });
    const std::int64_t unit_ms = found == units.end() ? 0 : found->second;
    if (unit_ms == 0 || number > hour_ms / unit_ms) return std::nullopt;
    return std::chrono::milliseconds{number * unit_ms};
}

}  // namespace stillpoint::hooks
