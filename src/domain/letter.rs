//! Letters: what a mail says, written by templates that operators can replace.

use std::collections::BTreeMap;

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};

use super::mail::MailKind;

/// The templates of every kind of mail, each as text and as HTML.
#[derive(Debug)]
pub struct Letters(Environment<'static>);

/// A mail as it will be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// One line.
    pub subject: String,
    /// For programs that show text.
    pub text: String,
    /// For the others.
    pub html: String,
}

/// What templates may use. Everything that people chose is escaped where it could be taken for HTML.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What to call the reader; empty where the address is not known to be theirs: else anybody could send their words to
    /// strangers in our name.
    pub name: String,
    /// The account's address.
    pub email: String,
    /// The page to open, with its token; empty in mails that only tell something.
    pub link: String,
    /// How long that is good for, in words.
    pub valid_for: String,
    /// When it happened.
    pub time: String,
    /// From where it was done, if that is known.
    pub ip_address: String,
    /// On which device, if that is known.
    pub device: String,
    /// The account's address from now on.
    pub new_email: String,
    /// The name that the mails are from.
    pub sender: String,
}

const SUBJECT: &str = "Subject: ";

macro_rules! built_in {
    ($($name:literal),*) => {
        [$((concat!($name, ".txt"), include_str!(concat!("../../config/mail/", $name, ".txt"))),
           (concat!($name, ".html"), include_str!(concat!("../../config/mail/", $name, ".html")))),*]
    };
}

const BUILT_IN: [(&str, &str); 14] = built_in!(
    "verify_email",
    "reset_password",
    "change_email",
    "email_changed",
    "password_changed",
    "session_replayed",
    "account_deleted"
);

impl Letters {
    /// The built-in templates, with those of `own`, by file name, in the place of theirs. Each is tried.
    ///
    /// # Errors
    /// One sentence for each thing that is wrong.
    pub fn new(own: &BTreeMap<String, String>) -> Result<Self, Vec<String>> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_auto_escape_callback(|name| {
            if name.rsplit('.').next() == Some("html") { AutoEscape::Html } else { AutoEscape::None }
        });
        let mut problems = Vec::new();
        for name in own.keys().filter(|name| BUILT_IN.iter().all(|(known, _)| known != name)) {
            problems.push(format!("{name} is the template of no mail; there is {}", names()));
        }
        for (name, built_in) in BUILT_IN {
            let source = own.get(name).map_or(built_in, String::as_str);
            // Mails are written on one system and templates on another.
            let source = source.trim_start_matches('\u{feff}').replace("\r\n", "\n");
            if let Err(error) = templates.add_template_owned(name, source) {
                problems.push(format!("{name}: {}", described(&error)));
            }
        }
        let letters = Self(templates);
        if problems.is_empty() {
            problems.extend(MailKind::ALL.into_iter().filter_map(|kind| letters.try_out(kind).err()));
        }
        if problems.is_empty() { Ok(letters) } else { Err(problems) }
    }

    /// Writes a mail.
    ///
    /// # Errors
    /// What is wrong with the template.
    pub fn write(&self, kind: MailKind, facts: &Facts) -> Result<Letter, String> {
        let name = kind.as_str();
        let text = self.render(&format!("{name}.txt"), facts)?;
        let html = self.render(&format!("{name}.html"), facts)?;
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let subject = first.strip_prefix(SUBJECT).map(str::trim).filter(|subject| !subject.is_empty());
        let subject = subject.ok_or_else(|| format!("{name}.txt: the first line must be `{SUBJECT}…`"))?;
        // A header ends where its line does, and names hold what people chose.
        let subject = subject.chars().filter(|c| !c.is_control()).collect();
        Ok(Letter { subject, text: rest.trim_start_matches('\n').to_owned(), html })
    }

    fn render(&self, name: &str, facts: &Facts) -> Result<String, String> {
        let template = self.0.get_template(name).map_err(|error| format!("{name}: {}", described(&error)))?;
        template.render(facts.values()).map_err(|error| format!("{name}: {}", described(&error)))
    }

    /// With everything there and with as little as may be there.
    fn try_out(&self, kind: MailKind) -> Result<(), String> {
        const LINK: &str = "https://app.example.com/?token=AAAA";
        self.write(kind, &Facts::default())?;
        let facts = Facts { name: "Ada".to_owned(), link: LINK.to_owned(), ..Facts::default() };
        let letter = self.write(kind, &facts)?;
        // What HTML escapes of a link is read back by whoever opens it.
        let html = letter.html.replace("&#x2f;", "/").replace("&amp;", "&");
        match kind.purpose() {
            Some(_) if !letter.text.contains(LINK) => {
                Err(format!("{}.txt does not have {{{{ link }}}}", kind.as_str()))
            }
            Some(_) if !html.contains(LINK) => Err(format!("{}.html does not have {{{{ link }}}}", kind.as_str())),
            _ => Ok(()),
        }
    }
}

impl Facts {
    fn values(&self) -> Value {
        Value::from_pairs([
            ("name", &self.name),
            ("email", &self.email),
            ("link", &self.link),
            ("valid_for", &self.valid_for),
            ("time", &self.time),
            ("ip_address", &self.ip_address),
            ("device", &self.device),
            ("new_email", &self.new_email),
            ("sender", &self.sender),
        ])
    }
}

fn names() -> String {
    BUILT_IN.map(|(name, _)| name).join(", ")
}

/// With its line, and what it says of the cause.
fn described(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    let detail = error.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
    format!("{line}{}{detail}", error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts { name: "Ada".to_owned(), link: "https://a.example/?token=x".to_owned(), ..Facts::default() }
    }

    fn replaced(name: &str, source: &str) -> Result<Letters, Vec<String>> {
        Letters::new(&BTreeMap::from([(name.to_owned(), source.to_owned())]))
    }

    #[test]
    fn every_kind_has_a_letter() {
        let letters = Letters::new(&BTreeMap::new()).unwrap();
        for kind in MailKind::ALL {
            let letter = letters.write(kind, &facts()).unwrap();
            assert!(!letter.subject.is_empty() && !letter.text.starts_with("Subject"), "{letter:?}");
            assert!(letter.html.contains("<html lang=\"en\">"), "{letter:?}");
            assert!(!letter.html.contains("src=") && !letter.html.contains("url("), "nothing is fetched: {letter:?}");
        }
    }

    #[test]
    fn what_people_chose_is_no_html_and_no_header() {
        let own = "Subject: Hello {{ name }}\n\n{{ link }}\n";
        let letters = replaced("reset_password.txt", own).unwrap();
        let name = "<img src=x>\r\nBcc: all@example.com".to_owned();
        let letter = letters.write(MailKind::ResetPassword, &Facts { name, ..facts() }).unwrap();
        assert_eq!(letter.subject, "Hello <img src=x>");
        assert!(!letter.html.contains("<img"), "{}", letter.html);
    }

    #[test]
    fn a_replaced_template_is_used_and_the_others_stay() {
        let letters = replaced("password_changed.txt", "Subject: Neues Passwort\r\n\r\nHallo {{ name }}\r\n").unwrap();
        let letter = letters.write(MailKind::PasswordChanged, &facts()).unwrap();
        assert_eq!((letter.subject.as_str(), letter.text.as_str()), ("Neues Passwort", "Hallo Ada"));
        assert!(letters.write(MailKind::AccountDeleted, &facts()).is_ok());
    }

    #[test]
    fn a_bad_template_is_told_with_its_name() {
        for (name, source, expected) in [
            ("newsletter.txt", "Subject: x\n", "newsletter.txt is the template of no mail"),
            ("verify_email.txt", "Hello\n{{ link }}", "verify_email.txt: the first line must be"),
            ("verify_email.txt", "Subject: \n{{ link }}", "verify_email.txt: the first line must be"),
            ("verify_email.txt", "Subject: x\n\nno page", "verify_email.txt does not have {{ link }}"),
            ("verify_email.html", "<p>no page", "verify_email.html does not have {{ link }}"),
            ("verify_email.html", "{{ link }}\n{{ nmae }}", "verify_email.html: line 2: undefined"),
            ("verify_email.html", "{{ link", "verify_email.html: line 1: syntax error"),
        ] {
            let told = replaced(name, source).unwrap_err().join("; ");
            assert!(told.contains(expected), "{expected}\nis not in\n{told}");
        }
    }
}
