//! Whether a page in the browser can be used by everybody, as far as axe-core can tell.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Browser, skipped};

/// Of four impacts the two that keep people out.
const RUN: &str = r#"
    const {violations, passes} = await axe.run(document, {resultTypes: ["violations"]});
    const broken = violations.filter(({impact}) => ["serious", "critical"].includes(impact));
    const tell = ({id, impact, nodes}) => nodes.map(({target, failureSummary}) => `${id} (${impact}) at ${target}: ${failureSummary}`);
    return {passes: passes.length, violations: broken.flatMap(tell)};
"#;

impl Browser {
    /// The rules of axe-core that the open page breaks and that keep people out (impact serious or critical), each with
    /// the place and what would help. Whatever the page's Content-Security-Policy says: drivers are not bound by it.
    pub(crate) async fn accessibility_violations(&self) -> Vec<String> {
        if self.run("return typeof axe", json!({})).await == "undefined" {
            let source = std::fs::read_to_string(Self::axe()).unwrap();
            self.run(&source, json!({})).await;
        }
        let found = self.run(RUN, json!({})).await;
        assert!(found["passes"].as_u64() > Some(5), "axe-core has looked at nothing: {found}");
        let text = |violation: &Value| violation.as_str().unwrap().to_owned();
        found["violations"].as_array().unwrap().iter().map(text).collect()
    }

    /// Whether axe-core is there; if not, says that the test is left out.
    pub(crate) fn has_axe() -> bool {
        let there = Self::axe().is_file();
        if !there {
            skipped("AXE-CORE", "npm ci --prefix tests/npm");
        }
        there
    }

    fn axe() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/npm/node_modules/axe-core/axe.min.js")
    }
}

#[tokio::test]
async fn a_page_that_keeps_people_out_is_found() {
    if Browser::programs().is_none() {
        return skipped("CHROMIUM", "apt-get install chromium chromium-driver");
    }
    if !Browser::has_axe() {
        return;
    }
    let browser = Browser::start().await;
    let page = "<!doctype html><html lang=en style='color-scheme:light dark'><title>x</title><main><h1>Sign in</h1><p>Here.</p>
        <label>Name <input></label><input><p style='color:CanvasText;background:COLOR'>Pale</p></main>";
    let found = async |color: &str, scheme: &str| {
        browser.appear(scheme, 360).await;
        browser.goto(&format!("data:text/html,{}", page.replace("COLOR", color))).await;
        let violations = browser.accessibility_violations().await;
        violations.iter().map(|text| text.split_once(')').unwrap().0.to_owned() + ")").collect::<Vec<_>>()
    };

    let (label, contrast) = ("label (critical)", "color-contrast (serious)");
    assert_eq!(found("whitesmoke", "light").await, [label]);
    assert_eq!(found("whitesmoke", "dark").await, [contrast, label]);
    assert_eq!(found("black", "dark").await, [label]);
    assert_eq!(browser.run("return innerWidth", json!({})).await, 360);
}
