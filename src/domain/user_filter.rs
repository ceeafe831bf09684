//! Which users somebody looks for.

use unicode_normalization::UnicodeNormalization as _;

use super::field::FieldError;
use super::user::{Line, Role};

/// What the users of a list have in common. The empty filter lets everybody pass.
#[derive(Debug, Clone, Default)]
pub struct UserFilter {
    /// A part of the address or the name, in any case.
    search: Option<String>,
    /// What they may do.
    pub role: Option<Role>,
    /// Whether their accounts are open.
    pub is_active: Option<bool>,
}

impl UserFilter {
    /// Reads a filter. An empty search is none.
    ///
    /// # Errors
    /// `too_long` and `invalid_text` for `search`, `unknown_value` for `role` and `status`, all that are wrong.
    pub fn parse(search: Option<&str>, role: Option<&str>, status: Option<&str>) -> Result<Self, Vec<FieldError>> {
        let mut problems = Vec::new();
        let mut keep = |problem| problems.push(problem);
        let search = Line::parse(search.unwrap_or_default(), "search").map_err(&mut keep).ok().flatten();
        let role = role.map(|name| Role::parse(name, "role")).transpose().map_err(&mut keep).ok().flatten();
        let is_active = match status {
            None => None,
            Some("active") => Some(true),
            Some("disabled") => Some(false),
            Some(_) => {
                keep(FieldError::new("status", "unknown_value", "must be active or disabled"));
                None
            }
        };
        let search = search.map(|line| line.as_str().nfc().collect::<String>().to_lowercase());
        if problems.is_empty() { Ok(Self { search, role, is_active }) } else { Err(problems) }
    }

    /// Whether it lets everybody pass.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.search.is_none() && self.role.is_none() && self.is_active.is_none()
    }

    /// The search as a pattern of SQL's `like`, in lower case. What somebody typed stands for itself.
    #[must_use]
    pub fn pattern(&self) -> Option<String> {
        let literal = |c| if matches!(c, '\\' | '%' | '_') { vec!['\\', c] } else { vec![c] };
        self.search.as_ref().map(|text| format!("%{}%", text.chars().flat_map(literal).collect::<String>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_searched_for_stands_for_itself_in_any_case() {
        let pattern = |text| UserFilter::parse(Some(text), None, None).unwrap().pattern();
        assert_eq!(pattern(" Ada_L "), Some("%ada\\_l%".to_owned()));
        assert_eq!(pattern("100%\\"), Some("%100\\%\\\\%".to_owned()));
        assert_eq!(pattern("U\u{308}BER"), Some("%\u{fc}ber%".to_owned()));
        assert_eq!(pattern("  "), None);
    }

    #[test]
    fn every_broken_rule_of_a_filter_is_told() {
        let codes =
            |problems: Vec<FieldError>| problems.iter().map(|p| (p.field.to_string(), p.code)).collect::<Vec<_>>();
        let problems = UserFilter::parse(Some("a\0b"), Some("king"), Some("asleep")).unwrap_err();
        let expected = [("search", "invalid_text"), ("role", "unknown_value"), ("status", "unknown_value")];
        assert_eq!(codes(problems), expected.map(|(field, code)| (field.to_owned(), code)));
        assert!(UserFilter::parse(None, None, None).unwrap().is_empty());
        assert!(!UserFilter::parse(None, None, Some("disabled")).unwrap().is_empty());
    }
}
