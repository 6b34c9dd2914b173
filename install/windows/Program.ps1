<#
.SYNOPSIS
What the scripts beside this one share: checks of the host and of the program.

.DESCRIPTION
Read by them with the dot operator; it does nothing by itself. Windows PowerShell 5.1, the one that every node has.
#>

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

# Says what is wrong and how to go on, and ends the script with this code.
function Stop-Script {
    param([int] $Code, [string] $Message, [string] $Hint)

    [Console]::Error.WriteLine("error: $Message")
    if ($Hint) {
        [Console]::Error.WriteLine("hint: $Hint")
    }
    exit $Code
}

# Ends the script unless this is a 64-bit process of an Administrator on a machine that the program is made for.
function Assert-Host {
    if (-not [Environment]::Is64BitProcess) {
        $powershell = "$env:windir\Sysnative\WindowsPowerShell\v1.0\powershell.exe"
        Stop-Script 1 'this is a 32-bit PowerShell, which sees another System32 and registry' "start $powershell"
    }
    $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object -TypeName Security.Principal.WindowsPrincipal -ArgumentList $identity
    if (-not $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
        Stop-Script 9 'needs Administrator' 'start PowerShell with "Run as administrator"'
    }
    if ($env:PROCESSOR_ARCHITECTURE -ne 'AMD64') {
        Stop-Script 1 "the program is for AMD64, and this node is $env:PROCESSOR_ARCHITECTURE"
    }
}

# Returns the full path of the program: the one given, or the one beside the scripts.
function Find-Program {
    param([string] $Binary)

    if (-not $Binary) {
        $Binary = Join-Path -Path $PSScriptRoot -ChildPath 'keyring-credential-provider.exe'
    }
    if (-not (Test-Path -LiteralPath $Binary -PathType Leaf)) {
        Stop-Script 1 "no file at $Binary" 'give -Binary FILE'
    }
    return (Get-Item -LiteralPath $Binary).FullName
}

# Returns the sum of the program that SHA256SUMS beside it has, in lines 'HEX  NAME' or 'HEX *NAME'.
function Find-Sum {
    param([string] $Binary)

    $name = [IO.Path]::GetFileName($Binary)
    $list = Join-Path -Path ([IO.Path]::GetDirectoryName($Binary)) -ChildPath 'SHA256SUMS'
    if (-not (Test-Path -LiteralPath $list -PathType Leaf)) {
        Stop-Script 1 "no sum to check $Binary against" 'give -Sha256 HEX, or put SHA256SUMS beside it'
    }
    foreach ($line in @(Get-Content -LiteralPath $list)) {
        $parts = $line.Split([char[]] @(' ', '*'), [StringSplitOptions]::RemoveEmptyEntries)
        if ($parts.Count -eq 2 -and $parts[1] -eq $name) {
            return $parts[0]
        }
    }
    Stop-Script 1 "$list has no line for $name" 'give -Sha256 HEX'
}

# Opens the program and checks its sum. While what is returned is open, others may read and run the file, and nobody can
# write, rename or delete it: what was checked is what runs.
function Open-Program {
    param([string] $Binary, [string] $Sha256)

    if (-not $Sha256) {
        $Sha256 = Find-Sum -Binary $Binary
    }
    $held = [IO.File]::Open($Binary, [IO.FileMode]::Open, [IO.FileAccess]::Read, [IO.FileShare]::Read)
    $found = (Get-FileHash -InputStream $held -Algorithm SHA256).Hash
    if ($found -ne $Sha256) {
        $held.Dispose()
        Stop-Script 1 "the SHA-256 of $Binary is $found, and must be $Sha256" 'fetch the file again; do not run it'
    }
    return $held
}
