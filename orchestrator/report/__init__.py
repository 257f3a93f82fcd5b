"""Reports: pure over the store's rows. Writers take rows as they come and give text as it is made, in flat memory."""
