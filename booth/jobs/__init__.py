"""Long texts spoken in the background: kept in folders, worked on part by part, whoever works."""
