//! What a caller says of the trace that it is in: `traceparent` and `tracestate` (W3C Trace Context).

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Who asked, as far as traces go.
#[derive(Debug, Clone, PartialEq)]
pub enum Caller {
    /// Somebody who names no trace, or none that is one.
    Nobody,
    /// Somebody whose trace goes on here, and who has decided whether it is told.
    Trusted(SpanContext),
    /// Anybody else who names a trace. It is remembered and decides nothing, or anybody could have everything told.
    Stranger(SpanContext),
}

impl Caller {
    /// Reads both headers. What is no `traceparent` is as good as none, and what is no `tracestate` is left out.
    #[must_use]
    pub fn read<'a>(
        mut traceparent: impl Iterator<Item = &'a [u8]>,
        tracestate: impl Iterator<Item = &'a [u8]>,
        is_trusted: bool,
    ) -> Self {
        // With two of them, nobody knows which is right.
        let (Some(parent), None) = (traceparent.next(), traceparent.next()) else { return Self::Nobody };
        let Some((trace_id, span_id, flags)) = std::str::from_utf8(parent).ok().and_then(parse) else {
            return Self::Nobody;
        };
        let state = if is_trusted { state(tracestate) } else { TraceState::default() };
        let context = SpanContext::new(trace_id, span_id, flags, true, state);
        if is_trusted { Self::Trusted(context) } else { Self::Stranger(context) }
    }
}

/// `00-<32 digits>-<16 digits>-<2 digits>`, in lower case; newer versions may go on behind another `-`.
fn parse(text: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    const LENGTH: usize = 55;
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let fields: [&str; 4] = known.split('-').collect::<Vec<_>>().try_into().ok()?;
    let digits = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if fields.map(str::len) != [2, 32, 16, 2] || !fields.into_iter().all(digits) {
        return None;
    }
    let [version, trace_id, span_id, flags] = fields;
    let has_good_end = rest.is_empty() || (version != "00" && rest.starts_with('-'));
    if version == "ff" || !has_good_end {
        return None;
    }
    let (trace_id, span_id) = (TraceId::from_hex(trace_id).ok()?, SpanId::from_hex(span_id).ok()?);
    let is_valid = trace_id != TraceId::INVALID && span_id != SpanId::INVALID;
    // Of the flags only this one means something to us.
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    is_valid.then_some((trace_id, span_id, flags))
}

/// As much as everybody must pass on (section 3.3.1.5); more is nobody's loss but the sender's.
const MOST_STATE: usize = 512;

fn state<'a>(lines: impl Iterator<Item = &'a [u8]>) -> TraceState {
    let lines: Option<Vec<&str>> = lines.map(|line| std::str::from_utf8(line).ok()).collect();
    let joined = lines.unwrap_or_default().join(",");
    // The parser takes names that are empty, and control characters.
    let is_good = |text: &String| {
        let is_text = text.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
        is_text && text.len() <= MOST_STATE && text.split(',').all(|member| !member.trim_start().starts_with('='))
    };
    Some(joined).filter(is_good).and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(parents: &[&str], states: &[&str], is_trusted: bool) -> Caller {
        let bytes = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
        let (parents, states) = (bytes(parents), bytes(states));
        Caller::read(parents.iter().map(Vec::as_slice), states.iter().map(Vec::as_slice), is_trusted)
    }

    #[test]
    fn a_good_traceparent_is_read_with_its_decision_and_its_state() {
        let Caller::Trusted(context) = read(&[GOOD], &["a=1,b=2", "c=3"], true) else { panic!("it is good") };
        assert_eq!(context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id().to_string(), "b7ad6b7169203331");
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(context.trace_state().header(), "a=1,b=2,c=3");
        for (end, sampled) in [("00", false), ("02", false), ("03", true), ("ff", true)] {
            let text = format!("{}{end}", &GOOD[..53]);
            let Caller::Trusted(context) = read(&[&text], &[], true) else { panic!("{text}") };
            assert_eq!((context.is_sampled(), context.trace_flags().to_u8() & 0xfe), (sampled, 0), "{text}");
        }
        let Caller::Stranger(context) = read(&[GOOD], &["a=1"], false) else { panic!("it is good") };
        assert_eq!(context.trace_state().header(), "", "a stranger's state goes nowhere");
    }

    #[test]
    fn of_another_version_what_is_known_is_read() {
        for text in [GOOD.replacen("00", "01", 1), GOOD.replacen("00", "cc", 1) + "-more"] {
            assert!(matches!(read(&[&text], &[], true), Caller::Trusted(_)), "{text}");
        }
    }

    #[test]
    fn what_is_no_traceparent_is_as_good_as_none() {
        let replaced = |from: &str, to: &str| GOOD.replacen(from, to, 1);
        let bad = [
            String::new(),
            "00".to_owned(),
            GOOD.to_uppercase(),
            replaced("00", "ff"),
            replaced("00", "0"),
            replaced("00", "+1"),
            replaced("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            replaced("b7ad6b7169203331", &"0".repeat(16)),
            replaced("0af", "0ag"),
            replaced("-", "_"),
            format!("{GOOD}-more"),
            format!("{GOOD}0"),
            format!(" {GOOD}"),
            replaced("00", "01") + "more",
            GOOD[..54].to_owned(),
            replaced("b7ad", "é7a"),
        ];
        for text in bad {
            assert_eq!(read(&[&text], &["a=1"], true), Caller::Nobody, "{text:?}");
        }
        assert_eq!(read(&[GOOD, GOOD], &[], true), Caller::Nobody, "two of them");
        assert_eq!(read(&[], &["a=1"], true), Caller::Nobody);
    }

    #[test]
    fn what_is_no_tracestate_is_left_out() {
        for state in ["é", "a", "A=1", &"a=1,".repeat(200), &format!("a={}", "x".repeat(511)), "=", "a=\u{7f}"] {
            let Caller::Trusted(context) = read(&[GOOD], &[state], true) else { panic!("{state}") };
            assert_eq!(context.trace_state().header(), "", "{state:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_nobody_or_what_they_say(
            parent in prop_oneof![".*", "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"],
            state in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let caller = Caller::read([parent.as_bytes()].into_iter(), [state.as_slice()].into_iter(), true);
            if let Caller::Trusted(context) = caller {
                prop_assert!(context.is_valid());
                let written = format!("{}-{}", context.trace_id(), context.span_id());
                prop_assert_eq!(&parent[3..52], written);
                let header = context.trace_state().header();
                prop_assert!(header.len() <= MOST_STATE && header.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", header);
            }
        }
    }
}
