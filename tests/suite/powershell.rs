//! The PowerShell scripts in `install/windows`, parsed and linted: no PowerShell runs here, so this shows that they are well-formed
//! and keep to Windows PowerShell 5.1, not what they do. Each rule is shown to catch what it is for.

use std::fs;
use std::path::Path;

use tree_sitter::{Node, Parser};

/// Commands that take a wildcard pattern where a path is meant, unless told that it is literal.
const PATH_COMMANDS: [&str; 12] = [
    "Copy-Item",
    "Get-ChildItem",
    "Get-Content",
    "Get-FileHash",
    "Get-Item",
    "Move-Item",
    "Remove-Item",
    "Resolve-Path",
    "Set-Content",
    "Set-Item",
    "Test-Path",
    "Unblock-File",
];

/// Commands that run text as code, fetch something, loosen the node, or write files in an encoding of their own.
const FORBIDDEN: [&str; 9] = [
    "Add-MpPreference",
    "Invoke-Expression",
    "Invoke-RestMethod",
    "Invoke-WebRequest",
    "Out-File",
    "Set-ExecutionPolicy",
    "Set-MpPreference",
    "Start-BitsTransfer",
    "Start-Process", // its exit code is not in $LASTEXITCODE
];

/// Parameters that Windows PowerShell 5.1 does not know.
const LATER_PARAMETERS: [&str; 5] =
    ["-AsByteStream", "-AsHashtable", "-Parallel", "-SkipCertificateCheck", "-LeafBase"];

/// Names of accounts and groups that differ with the language of Windows; their identifiers do not.
const LOCALISED: [&str; 6] =
    ["administrators", "authenticated users", "builtin\\", "everyone", "nt authority\\", "local system"];

/// What is wrong with a script: rule and line, in the order of the script.
fn lint(text: &str) -> Vec<(&'static str, usize)> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_powershell::LANGUAGE.into()).unwrap();
    let tree = parser.parse(text, None).unwrap();
    let mut findings: Vec<_> =
        text.lines().enumerate().filter(|(_, line)| !line.is_ascii()).map(|(index, _)| ("ascii", index + 1)).collect();
    let mut nodes = vec![tree.root_node()];
    while let Some(node) = nodes.pop() {
        let of = |node: Node<'_>| &text[node.byte_range()];
        let line = node.start_position().row + 1;
        if node.is_error() || node.is_missing() {
            findings.push(("syntax", line));
            continue;
        }
        match node.kind() {
            "pipeline_chain_tail" => findings.push(("chain", line)),
            "redirection" => findings.push(("redirection", line)),
            "command" => findings.extend(command(node, text).into_iter().map(|rule| (rule, line))),
            "string_literal" => {
                let literal = of(node).to_lowercase();
                if LOCALISED.iter().any(|name| literal.contains(name)) {
                    findings.push(("localised", line));
                }
            }
            _ => {}
        }
        // All of them: what is missing may be a bracket, which has no name.
        let mut cursor = node.walk();
        nodes.extend(node.children(&mut cursor));
    }
    findings.sort_by_key(|(_, line)| *line);
    findings
}

fn children(node: Node<'_>) -> Vec<Node<'_>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor).collect()
}

fn command(node: Node<'_>, text: &str) -> Vec<&'static str> {
    let of = |node: Node<'_>| &text[node.byte_range()];
    let parts = children(node);
    let parameters: Vec<_> = parts
        .iter()
        .filter(|part| part.kind() == "command_elements")
        .flat_map(|part| children(*part))
        .filter(|part| part.kind() == "command_parameter")
        .map(of)
        .collect();
    let mut findings = Vec::new();
    if parts[0].kind() == "command_invokation_operator" {
        // `.` reads a script of ours; `&` runs a program, and what follows looks at how that ended.
        if of(parts[0]) == "&" && !next_statement(node).is_some_and(|next| of(next).contains("$LASTEXITCODE")) {
            findings.push("exit code");
        }
        return findings;
    }
    let name = of(parts[0]);
    let is_cmdlet = name.split_once('-').is_some_and(|(verb, noun)| {
        let word =
            |word: &str| word.starts_with(|c: char| c.is_ascii_uppercase()) && word.chars().all(char::is_alphanumeric);
        word(verb) && word(noun)
    });
    if !is_cmdlet {
        findings.push("alias or bare program");
    }
    if FORBIDDEN.iter().any(|forbidden| forbidden.eq_ignore_ascii_case(name)) {
        findings.push("forbidden");
    }
    if PATH_COMMANDS.iter().any(|command| command.eq_ignore_ascii_case(name))
        && !parameters.iter().any(|given| ["-LiteralPath", "-InputStream"].contains(given))
    {
        findings.push("literal path");
    }
    if parameters.iter().any(|given| LATER_PARAMETERS.iter().any(|later| later.eq_ignore_ascii_case(given))) {
        findings.push("later parameter");
    }
    findings
}

/// The statement after the one that this node is in, within the same block.
fn next_statement(node: Node<'_>) -> Option<Node<'_>> {
    let mut statement = node;
    while statement.parent()?.kind() != "statement_list" {
        statement = statement.parent()?;
    }
    statement.next_named_sibling()
}

fn scripts() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("install/windows");
    let mut scripts: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "ps1"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap()))
        .collect();
    scripts.sort();
    scripts
}

#[test]
fn the_scripts_are_clean() {
    let scripts = scripts();
    let names: Vec<_> = scripts.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["Install-KeyringCredentialProvider.ps1", "Program.ps1", "Uninstall-KeyringCredentialProvider.ps1"];
    assert_eq!(names, expected);
    for (name, text) in &scripts {
        assert_eq!(lint(text), [], "{name}");
        let read = name == "Program.ps1";
        assert_eq!(text.starts_with("#Requires -Version 5.1\n"), !read, "{name}");
        let strict = "Set-StrictMode -Version Latest\n$ErrorActionPreference = 'Stop'\n";
        assert_eq!(text.contains(strict), read, "{name}");
        assert_eq!(text.contains("\n. (Join-Path -Path $PSScriptRoot -ChildPath 'Program.ps1')\n"), !read, "{name}");
        assert!(read || text.ends_with("\nexit $code\n"), "{name}");
    }
}

#[test]
fn each_rule_catches_what_it_is_for() {
    let cases: [(&str, &[&str]); 29] = [
        ("if ($a) { Get-Date\n", &["syntax"]),
        ("$a = 'it is\n", &["syntax"]),
        ("$a = @\"\ntext\n", &["syntax"]),
        ("$a = $b ? 1 : 2\n", &["syntax"]),
        ("$a = $b ?? 2\n", &["syntax"]),
        ("$a ??= 2\n", &["syntax"]),
        ("$a = $b?.Length\n", &["syntax"]),
        ("Get-Date && Get-Host\n", &["chain"]),
        ("Get-Date || Get-Host\n", &["chain"]),
        ("$a = 'caf\u{e9}'\n", &["ascii"]),
        ("Write-Error \u{201c}quoted\u{201d}\n", &["ascii"]),
        ("Invoke-Expression $text\n", &["forbidden"]),
        ("iex $text\n", &["alias or bare program"]),
        ("$a | % { $_ }\n", &["alias or bare program"]),
        ("sc.exe stop kubelet\n", &["alias or bare program"]),
        (".\\keyring-credential-provider.exe node apply\n", &["alias or bare program"]),
        ("Invoke-WebRequest -Uri $uri\n", &["forbidden"]),
        ("Start-Process -FilePath $exe -Wait\n", &["forbidden"]),
        ("Get-Date | Out-File -LiteralPath $file\n", &["forbidden"]),
        ("Get-Date > $file\n", &["redirection"]),
        ("& $exe 2>&1\n$code = $LASTEXITCODE\n", &["redirection"]),
        ("Test-Path $file\n", &["literal path"]),
        ("Remove-Item -Path $dir -Recurse\n", &["literal path"]),
        ("& $exe @arguments\n", &["exit code"]),
        ("& $exe @arguments\nGet-Date\nif ($LASTEXITCODE) { exit 1 }\n", &["exit code"]),
        ("if ($a) { & $exe }\nexit $LASTEXITCODE\n", &["exit code"]),
        ("Get-Content -LiteralPath $file -AsByteStream\n", &["later parameter"]),
        ("$group = 'BUILTIN\\Administrators'\n", &["localised"]),
        ("$user = \"NT AUTHORITY\\SYSTEM\"\n", &["localised"]),
    ];
    for (text, rules) in cases {
        let mut found: Vec<_> = lint(text).into_iter().map(|(rule, _)| rule).collect();
        found.dedup();
        assert_eq!(found, rules, "{text}");
    }
    assert_eq!(lint("& $exe @arguments\nif ($LASTEXITCODE -ne 0) { exit 1 }\n"), []);
}

#[test]
fn every_parameter_is_explained_and_passed_on() {
    for (name, text) in scripts().iter().filter(|(name, _)| name != "Program.ps1") {
        let (_, block) = text.split_once("\nparam(\n").unwrap();
        let (block, body) = block.split_once("\n)\n").unwrap();
        let parameters: Vec<_> =
            block.lines().map(|line| line.split_once('$').unwrap().1.split([',', ' ']).next().unwrap()).collect();
        let explained: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(".PARAMETER ")).collect();
        assert_eq!(explained, parameters, "{name}");
        for parameter in parameters {
            assert!(body.contains(&format!("${parameter}")), "{name}: -{parameter} does nothing");
        }
    }
}
