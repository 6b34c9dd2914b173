//! The two flags among the words of a command line that is one text.

use super::flags::{BIN_DIR, CONFIG, Flags};

/// Returns the text with both flags: the last of each changed, or behind all others. Nothing when one of them is written as two
/// words, or in quotes of its own.
pub(super) fn set(text: &str, separator: &str, flags: &Flags) -> Option<String> {
    let mut words: Vec<String> = text.split(separator).map(str::to_owned).collect();
    if words.iter().any(|word| [BIN_DIR, CONFIG].contains(&word.as_str())) {
        return None;
    }
    for new in flags.words() {
        let name = &new[..=new.find('=')?];
        match words.iter().rposition(|word| word.starts_with(name)) {
            Some(place) if words[place].contains(['"', '\'']) => return None,
            Some(place) => words[place] = new,
            None if words == [""] => words = vec![new],
            None => words.push(new),
        }
    }
    Some(words.join(separator))
}

/// Returns the text without the flags.
pub(super) fn unset(text: &str, separator: &str) -> String {
    let is_flag = |word: &&str| {
        [BIN_DIR, CONFIG].iter().any(|name| word.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')))
    };
    text.split(separator).filter(|word| !is_flag(word)).collect::<Vec<_>>().join(separator)
}
