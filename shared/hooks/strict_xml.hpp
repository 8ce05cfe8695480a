#pragma once
#include <tinyxml2.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "hooks/hook.hpp"

namespace stillpoint::hooks {

/// "500ms", "5s", "2min", "1h". @return nullopt: none of these, or more than an hour
[[nodiscard]] std::optional<Nanoseconds> parse_duration(std::string_view text);

/// Which guest a document is for: paths are written otherwise, and a few keys exist in one alone.
enum class Dialect { posix, windows };
/// "/…", or "C:\…".
[[nodiscard]] bool is_absolute_path(Dialect dialect, std::string_view text);

/// Reads configuration strictly: an unknown element or attribute, or a value out of range, is an
/// error with file, line and what is accepted instead.
/// Every call: @errors invalid, with the id and the manual page of the constructor
class StrictXml {
public:
    struct Kind {
        const char* id;      // of the errors, e.g. "config.guest"
        const char* manual;  // e.g. "stillpoint-guest.xml(5)"
        Dialect dialect = Dialect::posix;
    };
    struct Child {
        std::string_view name;
        std::function<Status(const tinyxml2::XMLElement&)> read;
        bool repeated = false;  // else it may stand once
    };
    struct Range {
        Nanoseconds least;
        Nanoseconds most;
    };
    StrictXml(std::string file, Kind kind) : file_(std::move(file)), kind_(kind) {}

    /// Parses `xml` and hands its outermost element, which must be <root>, to `read`; an empty
    /// document is nobody's error and hands nothing.
    [[nodiscard]] Status document(std::string_view xml, const Child& root) const;
    [[nodiscard]] Status only_attributes(const tinyxml2::XMLElement& element,
                                         const std::vector<std::string_view>& accepted) const;
    /// Reads each child element by its entry.
    [[nodiscard]] Status children(const tinyxml2::XMLElement& element,
                                  const std::vector<Child>& accepted) const;
    /// @return the only text in an element without children or attributes
    [[nodiscard]] Result<std::string> text(const tinyxml2::XMLElement& element) const;
    /// @return the value of an attribute that must be an absolute path
    [[nodiscard]] Result<std::string> path(const tinyxml2::XMLElement& element,
                                           const char* attribute) const;
    /// Leaves `value` alone where the attribute is absent.
    Status duration(const tinyxml2::XMLElement& element, const char* attribute, Nanoseconds& value,
                    Range range) const;
    struct NumberRange {
        int least;
        int most;
    };
    Status number(const tinyxml2::XMLElement& element, const char* attribute, int& value,
                  NumberRange range) const;
    Status yes_or_no(const tinyxml2::XMLElement& element, const char* attribute, bool& value) const;
    [[nodiscard]] tl::unexpected<Error> wrong(int line, const std::string& text) const;
    [[nodiscard]] Dialect dialect() const { return kind_.dialect; }

private:
    std::string file_;
    Kind kind_;
};

}  // namespace stillpoint::hooks
