//! A marked block in a PowerShell script that starts the kubelet, behind the line that sets its arguments.

use super::flags::Flags;

const BEGIN: &str = "# BEGIN keyring-credential-provider";
const END: &str = "# END keyring-credential-provider";

/// Returns the script with the block; nothing when it does not set `variable`, the variable of the kubelet's arguments.
///
/// A variable that is called a list gets a value a flag, any other the flags behind a blank.
pub(super) fn set(text: &str, variable: &str, flags: &Flags) -> Option<String> {
    let text = unset(text);
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let is_list = variable.to_ascii_lowercase().ends_with("list");
    let mut block = format!("{BEGIN}{end}");
    if is_list {
        flags.words().iter().for_each(|word| block.push_str(&format!("{variable} += '{word}'{end}")));
    } else {
        block.push_str(&format!("{variable} += ' {}'{end}", flags.words().join(" ")));
    }
    block.push_str(&format!("{END}{end}"));
    let assigns = |line: &str| {
        let line = line.trim_start().to_ascii_lowercase();
        let rest = line.strip_prefix(&variable.to_ascii_lowercase()).map(str::trim_start);
        rest.is_some_and(|rest| rest.starts_with('=') || rest.starts_with("+="))
    };
    let mut offset = 0;
    let mut place = None;
    for line in text.split_inclusive('\n') {
        offset += line.len();
        if assigns(line) {
            // What goes on in the next line has its end somewhere else.
            let goes_on = line.trim_end().ends_with(['(', '{', ',', '|', '`', '@', '+', '=']);
            place = (!goes_on && line.ends_with('\n')).then_some(offset);
        }
    }
    let place = place?;
    Some(format!("{}{block}{}", &text[..place], &text[place..]))
}

/// Returns the script without the block.
pub(super) fn unset(text: &str) -> String {
    let mut inside = false;
    let mut rest = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match line.trim() {
            BEGIN => inside = true,
            END if inside => inside = false,
            _ if inside => {}
            _ => rest.push_str(line),
        }
    }
    rest
}
