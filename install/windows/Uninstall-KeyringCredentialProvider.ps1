#Requires -Version 5.1
<#
.SYNOPSIS
Takes keyring-credential-provider off a Windows node.

.DESCRIPTION
A thin shell around the program: it checks who runs it, the SHA-256 and the process, and gives the rest to the program's own
'node uninstall', which leaves other providers working and touches the program last, when no kubelet needs it any more. The
store stays, unless -Purge is given.

Exit codes are those of the program: 0 done, 1 failed, 2 usage, 6 conflict, 7 rolled back, 8 roll-back failed, 9 needs
Administrator.

.PARAMETER Binary
The program. Default: keyring-credential-provider.exe beside this script.

.PARAMETER Sha256
What its SHA-256 must be. Default: its line in SHA256SUMS beside it.

.PARAMETER Purge
Remove the store, with all that is in it, too.

.PARAMETER Restart
Restart the kubelet's service.

.PARAMETER Yes
Ask nothing.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File Uninstall-KeyringCredentialProvider.ps1 -Restart
#>
[CmdletBinding()]
param(
    [string] $Binary,
    [string] $Sha256,
    [switch] $Purge,
    [switch] $Restart,
    [switch] $Yes
)

. (Join-Path -Path $PSScriptRoot -ChildPath 'Program.ps1')

Assert-Host
$Binary = Find-Program -Binary $Binary
$held = Open-Program -Binary $Binary -Sha256 $Sha256
try {
    $arguments = @('node', 'uninstall')
    if ($Purge) { $arguments += '--purge' }
    if ($Restart) { $arguments += '--restart' }
    if ($Yes) { $arguments += '--yes' }

    # Some hosts take a line on standard error for an error of their own; only the exit code counts.
    $ErrorActionPreference = 'Continue'
    & $Binary @arguments
    $code = $LASTEXITCODE
} finally {
    $held.Dispose()
}
exit $code
