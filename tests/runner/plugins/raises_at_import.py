"""Cannot be imported, because of a defect."""

raise RuntimeError("no licence")
