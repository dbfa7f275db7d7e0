"""What every room of deploy uses: its error, atomic files, stamps of finished stages."""
