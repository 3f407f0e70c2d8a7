"""Image files on disk: read, listed, recognised from their folders, traced to their source."""
