#Requires -Version 5.1
<#
.SYNOPSIS
Installs keyring-credential-provider on a Windows node from a file that is already there: nothing is downloaded.

.DESCRIPTION
A thin shell around the program: it checks who runs it, the SHA-256 and the process, makes a store where there is none, and
gives the rest to the program's own 'node apply', which plans, validates, backs up, writes and rolls back. The file is held
open from before the check until the end, so nobody can change or replace it in between.

The store's key lies in the Credential Manager of the account that makes the store, so the program makes it as LocalSystem, the
kubelet's account, in a service that is removed afterwards ('store init --as-service'). It refuses to be that service from a
directory where others may write: unpack below C:\Program Files. With -DryRun, no store is made.

Exit codes are those of the program: 0 done, 1 failed, 2 usage, 6 conflict, 7 rolled back, 8 roll-back failed, 9 needs
Administrator, 10 a dry run found changes.

.PARAMETER Binary
The program. Default: keyring-credential-provider.exe beside this script.

.PARAMETER Sha256
What its SHA-256 must be. Default: its line in SHA256SUMS beside it.

.PARAMETER Flavour
What kind of node this is, as 'node detect' names it. Default: found out.

.PARAMETER BinDir
Directory for the program, without spaces. Default: the one that the node uses.

.PARAMETER Config
The kubelet's CredentialProviderConfig. Default: the one that the node uses.

.PARAMETER KubeletVersion
Version whose rules judge the configuration. Default: found out.

.PARAMETER MatchImage
Patterns of images that the kubelet asks about. Default: what the store needs.

.PARAMETER NoStore
Make no store.

.PARAMETER DryRun
Show what would change, and change nothing.

.PARAMETER Restart
Restart the kubelet's service when something changed.

.PARAMETER Yes
Ask nothing.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File Install-KeyringCredentialProvider.ps1 -DryRun
#>
[CmdletBinding()]
param(
    [string] $Binary,
    [string] $Sha256,
    [string] $Flavour,
    [string] $BinDir,
    [string] $Config,
    [string] $KubeletVersion,
    [string[]] $MatchImage = @(),
    [switch] $NoStore,
    [switch] $DryRun,
    [switch] $Restart,
    [switch] $Yes
)

. (Join-Path -Path $PSScriptRoot -ChildPath 'Program.ps1')

Assert-Host
$Binary = Find-Program -Binary $Binary
$held = Open-Program -Binary $Binary -Sha256 $Sha256
try {
    # Some hosts take a line on standard error for an error of their own; only the exit code counts.
    $ErrorActionPreference = 'Continue'
    if (-not $NoStore -and -not $DryRun) {
        & $Binary 'store' 'init' '--if-missing' '--as-service'
        $code = $LASTEXITCODE
        if ($code -ne 0) {
            Stop-Script $code 'no store was made, and nothing was changed' 'with -NoStore, the rest is done without one'
        }
    }

    $arguments = @('node', 'apply', '--binary', $Binary)
    if ($Flavour) { $arguments += @('--flavour', $Flavour) }
    if ($BinDir) { $arguments += @('--bin-dir', $BinDir) }
    if ($Config) { $arguments += @('--config', $Config) }
    if ($KubeletVersion) { $arguments += @('--kubelet-version', $KubeletVersion) }
    # With -File, a list arrives as one word with commas in it.
    foreach ($pattern in @($MatchImage -split ',')) {
        if ($pattern) { $arguments += @('--match-image', $pattern) }
    }
    if ($DryRun) { $arguments += '--dry-run' }
    if ($Restart) { $arguments += '--restart' }
    if ($Yes) { $arguments += '--yes' }

    & $Binary @arguments
    $code = $LASTEXITCODE
} finally {
    $held.Dispose()
}
exit $code
