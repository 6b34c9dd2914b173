//! `generate`: man pages and shell completions, for packagers.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;
use super::output::{self, Outcome};
use crate::exit::Code;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Write the man page to standard output, or one page a command into a directory
    Man {
        /// Directory to write `keyring-credential-provider.1` and the pages of its commands into
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Write the completions of a shell to standard output
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
}

pub(super) fn run(command: &Command) -> Outcome {
    let mut cli = Cli::command();
    match command {
        Command::Man { dir: None } => {
            let mut page = Vec::new();
            Man::new(cli).render(&mut page).context("cannot make the man page")?;
            output::print(&String::from_utf8_lossy(&page))?;
        }
        Command::Man { dir: Some(dir) } => {
            cli.build();
            write_pages(&cli, dir)?;
        }
        Command::Completions { shell } => {
            let name = cli.get_name().to_owned();
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut cli, name, &mut script);
            output::print(&String::from_utf8_lossy(&script))?;
        }
    }
    Ok(Code::Done)
}

fn write_pages(command: &clap::Command, dir: &Path) -> anyhow::Result<()> {
    let man = Man::new(command.clone());
    let path = dir.join(man.get_filename());
    let mut page = Vec::new();
    man.render(&mut page)
        .and_then(|()| std::fs::File::create(&path)?.write_all(&page))
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
        .try_for_each(|sub| write_pages(sub, dir))
}
