"""From run directories to one page of HTML that needs neither network nor server (``docs/report.md``)."""
