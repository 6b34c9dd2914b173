//! What has to change so that the kubelet of a node runs the plugin.

use std::path::PathBuf;

use super::carrier::{Carrier, check_path};
use super::change::{Change, Kind};
use super::detect::{Node, Place};
use super::flags::Flags;
use super::flavour::Refusal;
use super::{NAME, WINDOWS_NAME};
use crate::kubelet::config::{self, Generated, Merged, Position, System, Target};

/// The plugin's program, and what the kubelet is to know of it.
#[derive(Debug)]
pub struct Program {
    /// The program itself.
    pub bytes: Vec<u8>,
    /// The entry of the configuration.
    pub provider: Generated,
    /// Where the entry goes.
    pub position: Position,
}

/// What would change, in the order in which it has to.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The files, and values of the registry.
    pub changes: Vec<Change>,
    /// The place of the plugin.
    pub place: Place,
    /// The flags that the kubelet will have.
    pub flags: Flags,
    /// The configuration that the node itself keeps, where ours is beside it.
    pub base_config: Option<String>,
    /// Whether the flags are ours: set by this plan or an earlier one.
    pub sets_flags: bool,
    /// What the kubelet takes in silence, and is a mistake all the same; and what an operator should know of this node.
    pub warnings: Vec<String>,
}

/// Plans how a node gets the plugin. Reads, and writes nothing.
///
/// # Errors
/// [`Refusal`] where that cannot be done safely.
pub fn plan(node: &Node, program: &Program) -> Result<Plan, Refusal> {
    let kubelet = node.kubelet()?;
    let mut place = node.place()?;
    let root = &node.root;
    let target = Target::new(kubelet, root.system());
    check_format(&program.bytes, root.system())?;

    // What the node writes anew is left alone; ours is made from it and lies beside it.
    let mut base_config = None;
    let mut sets_flags = !place.is_merge;
    if let Some(rewritten) = &node.profile.rewritten {
        let base = [rewritten.file, rewritten.ours].into_iter().any(|file| root.same(&place.config, file));
        if base && root.exists(rewritten.file) {
            base_config = Some(rewritten.file.to_owned());
            rewritten.ours.clone_into(&mut place.config);
            sets_flags = true;
        }
    }

    let mut changes = Vec::new();
    for name in program_names(root.system(), kubelet.finds_extension()) {
        changes.push(change(
            node,
            Kind::Program,
            &root.join(&place.bin_dir, name),
            Some(program.bytes.clone()),
            0o755,
        )?);
    }
    let mut warnings = Vec::new();
    changes.push(config_change(node, &place, base_config.as_deref(), program, &target, &mut warnings)?);
    let flags = Flags::new(&place.bin_dir, &place.config);
    if sets_flags {
        check_path(&place.bin_dir)?;
        check_path(&place.config)?;
        let is_unknown_service =
            node.live.as_ref().is_some_and(|live| live.is_service) && node.profile.program.is_none();
        if is_unknown_service && !node.profile.carriers.is_empty() {
            let words = flags.words().join(" ");
            return Err(Refusal::new(
                "the kubelet is a Windows service whose arguments stand in the service itself, and not in that called `kubelet`",
                format!(
                    "put the program and the configuration there by `--flavour other`, then add by `sc.exe config`: {words}"
                ),
            ));
        }
        for carrier in &node.profile.carriers {
            changes.push(flags_change(node, carrier, &flags)?);
        }
        if node.profile.carriers.is_empty() {
            warnings.push(format!("set the kubelet's flags yourself: {}", flags.words().join(" ")));
        }
    }
    changes.retain(|change| change.before != change.after);
    warnings.extend(node.profile.notes.iter().map(|note| (*note).to_owned()));
    Ok(Plan { changes, place, flags, base_config, sets_flags, warnings })
}

impl Plan {
    /// Returns whether the kubelet has to be started again: it reads flags and configuration once, and the program every time.
    pub fn needs_restart(&self) -> bool {
        self.changes.iter().any(|change| change.kind != Kind::Program)
    }
}

/// The names that the program gets. A Windows kubelet that looks for exactly the name it is told gets both.
pub(super) fn program_names(system: System, finds_extension: bool) -> Vec<&'static str> {
    match (system, finds_extension) {
        (System::Linux, _) => vec![NAME],
        (System::Windows, true) => vec![WINDOWS_NAME],
        (System::Windows, false) => vec![NAME, WINDOWS_NAME],
    }
}

fn check_format(program: &[u8], system: System) -> Result<(), Refusal> {
    let (magic, kind): (&[u8], _) = match system {
        System::Linux => (b"\x7fELF", "Linux"),
        System::Windows => (b"MZ", "Windows"),
    };
    if program.starts_with(magic) {
        return Ok(());
    }
    Err(Refusal::new(
        format!("the program is none for {kind}, which this node runs"),
        "name the right one by `--binary`",
    ))
}

/// Plans one file.
pub(super) fn change(
    node: &Node,
    kind: Kind,
    path: &str,
    after: Option<Vec<u8>>,
    mode: u32,
) -> Result<Change, Refusal> {
    let before = read(node, path)?;
    Ok(Change { kind, path: path.to_owned(), before, after, mode, names: node.names() })
}

pub(super) fn read(node: &Node, path: &str) -> Result<Option<Vec<u8>>, Refusal> {
    node.root
        .read(path)
        .map_err(|error| Refusal::new(format!("`{path}`: {error}"), "look what is there, and say another place"))
}

fn config_change(
    node: &Node,
    place: &Place,
    base: Option<&str>,
    program: &Program,
    target: &Target,
    warnings: &mut Vec<String>,
) -> Result<Change, Refusal> {
    let root = &node.root;
    let is_dir = root.is_dir(&place.config);
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for file in node.config_files(base.unwrap_or(&place.config)) {
        if let Some(bytes) = read(node, &file)? {
            files.push((file, bytes));
        }
    }
    let names = node.names();
    let holds_ours = |bytes: &[u8]| {
        config::providers(bytes)
            .is_ok_and(|providers| providers.iter().any(|provider| names.contains(&provider.name.as_str())))
    };
    let (path, old) = match files.iter().position(|(_, bytes)| holds_ours(bytes)) {
        Some(index) => (files[index].0.clone(), Some(files[index].1.clone())),
        None if is_dir => {
            let number = if program.position == Position::First { "00" } else { "50" };
            (root.join(&place.config, &format!("{number}-{NAME}.yaml")), None)
        }
        None => (place.config.clone(), files.first().map(|(_, bytes)| bytes.clone())),
    };
    let new = match &old {
        None => program.provider.to_yaml().into_bytes(),
        Some(old) => match config::merge(old, &program.provider, &names, program.position) {
            Ok(Merged::Same) => old.clone(),
            Ok(Merged::Changed(text)) => text.into_bytes(),
            Ok(Merged::Empty) => return Err(Refusal::new(format!("`{path}` has no providers"), "remove the file")),
            Err(error) => {
                return Err(Refusal::new(
                    format!("`{path}` {error}"),
                    "add the provider by hand, from `config generate`",
                ));
            }
        },
    };
    let path = if base.is_some() { place.config.clone() } else { path };
    judge(node, place, &files, &path, &new, target, warnings)?;
    change(node, Kind::Config, &path, Some(new), 0o644)
}

/// Judges what the kubelet would read: the changed file among the others.
fn judge(
    node: &Node,
    place: &Place,
    files: &[(String, Vec<u8>)],
    path: &str,
    new: &[u8],
    target: &Target,
    warnings: &mut Vec<String>,
) -> Result<(), Refusal> {
    let is_dir = node.root.is_dir(&place.config);
    let mut all: Vec<(String, Vec<u8>)> =
        if is_dir { files.iter().filter(|(file, _)| file != path).cloned().collect() } else { Vec::new() };
    all.push((path.to_owned(), new.to_vec()));
    all.sort();
    if is_dir && target.kubelet < "1.34".parse().unwrap_or(target.kubelet) {
        let reason = format!("`{}` is a directory, which a kubelet takes from 1.34 on", place.config);
        return Err(Refusal::new(reason, "give the kubelet a file"));
    }
    let verdict = config::judge_texts(all.iter().map(|(path, bytes)| (PathBuf::from(path), bytes.clone())), target);
    if let Some(error) = verdict.errors.first() {
        let reason = format!("kubelet {} would refuse the configuration and not start: {error}", target.kubelet);
        return Err(Refusal::new(reason, format!("mend `{}` first; `config validate` judges it", place.config)));
    }
    warnings.extend(verdict.warnings);
    let names = node.names();
    let providers = all.iter().flat_map(|(_, bytes)| config::providers(bytes).unwrap_or_default());
    let (ours, others): (Vec<_>, Vec<_>) = providers.partition(|provider| names.contains(&provider.name.as_str()));
    for other in &others {
        let file = |name: &str| node.root.exists(&node.root.join(&place.bin_dir, name));
        let found = file(&other.name) || target.system == System::Windows && file(&format!("{}.exe", other.name));
        if !found {
            return Err(Refusal::new(
                format!(
                    "the kubelet would not start: `{}` has no program of the provider `{}`",
                    place.bin_dir, other.name
                ),
                "put it there, or take the provider out of the configuration",
            ));
        }
        for pattern in
            ours.iter().flat_map(|ours| &ours.match_images).filter(|pattern| other.match_images.contains(pattern))
        {
            warnings.push(format!(
                "`{pattern}` also belongs to the provider `{}`: both are run, and every credential is tried",
                other.name
            ));
        }
    }
    Ok(())
}

fn flags_change(node: &Node, carrier: &Carrier, flags: &Flags) -> Result<Change, Refusal> {
    let before = read(node, carrier.path())?;
    let text = before.as_deref().map(|bytes| {
        std::str::from_utf8(bytes).map_err(|_| {
            Refusal::new(
                format!("`{}` is no UTF-8 text", carrier.path()),
                format!("add by hand: {}", flags.words().join(" ")),
            )
        })
    });
    let after = carrier.set(text.transpose()?, flags)?.into_bytes();
    Ok(Change { before, ..change(node, Kind::Flags, carrier.path(), Some(after), 0o644)? })
}
