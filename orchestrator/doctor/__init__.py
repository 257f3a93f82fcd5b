"""What `keymuster doctor` finds: pieces of knowledge about a machine and what it speaks to. Nothing is changed."""

from orchestrator.doctor.finding import Finding, Level, bad, fine, warn

__all__ = ["Finding", "Level", "bad", "fine", "warn"]
