"""The estate that `keymuster lab vault` serves where none is given: a secret for everything that a vault may ask for.

`{n}` stands for numbers; passwords are derived from the seed.
"""

SAMPLE = r"""
[vault]
refresh_tokens = true
rotation_time = "2s"

[[vault.users]]                # answers access requests, forces check-ins, changes passwords
name = "approver"
permissions = ["View Secret", "View Launcher Password", "View Secret Audit", "Force Check In"]
access = { '\' = "owner" }

[[vault.users]]
name = "admin"
permissions = ["Unlimited Administrator"]

[[vault.users]]                # may see that there are secrets, and view those in one folder
name = "limited"
permissions = ["View Secret"]
access = { '\' = "list", '\Scan\Linux' = "view" }

[[vault.users]]
name = "with_code"
one_time_code = "123456"

[[vault.users]]                # 127.0.0.1 is always let in; try it from 127.0.0.9
name = "elsewhere_only"
addresses = ["10.0.0.0/8", "192.168.1.10-192.168.1.20", "127.0.0.2"]

[[vault.onboarding]]
rule = "scanners"
key = "onboard-me"
user = "svc_scan"

[[secrets]]
name = "linux-{n}"
count = 20
user = "scan"
machine = "10.20.0.{n}"
folder = '\Scan\Linux'

[[secrets]]
name = "linux-key"
login = "key"
user = "root"
machine = "10.20.1.1"
folder = '\Scan\Linux'

[[secrets]]
name = "linux-rotating-key"
template = "unix-key-rotation"
login = "key"
user = "root"
machine = "10.20.1.2"
folder = '\Scan\Linux'

[[secrets]]
name = "windows-local"
template = "windows"
user = "Administrator"
machine = "WIN1"
folder = '\Scan\Windows'

[[secrets]]
name = "domain-scan"
template = "active-directory"
user = "svc_scan"
domain = "corp.example"
folder = '\Scan\Windows'

[[secrets]]
name = "needs-checkout"
folder = '\Restricted'
security = { checkout = true, checkout_interval = "10m" }

[[secrets]]
name = "changes-on-checkin"
folder = '\Restricted'
security = { checkout = true, change_on_checkin = true }

[[secrets]]
name = "needs-comment"
folder = '\Restricted'
security = { comment = true }

[[secrets]]
name = "needs-approval"
folder = '\Restricted'
security = { approvers = ["approver"] }

[[secrets]]
name = "double-locked"
folder = '\Restricted'
security = { double_lock = "open sesame" }

[[secrets]]
name = "hidden-password"
folder = '\Restricted'
security = { hide_password = true }

[[secrets]]
name = "inactive"
folder = '\Restricted'
state = "inactive"

[[secrets]]
name = "ambiguous"
folder = '\Restricted'
state = "ambiguous"

[[secrets]]
name = "forbidden"
folder = '\Restricted'
state = "forbidden"
"""
