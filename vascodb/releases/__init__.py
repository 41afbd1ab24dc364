"""Published releases and run folders of other pipelines: read, checked, and stored as external runs."""
