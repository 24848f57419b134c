"""What a sweep found, to look at: figures (`search.reports.figures`) and tables (`search.reports.tables`)."""
