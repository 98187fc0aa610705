"""What goes: a plugin's things, what nobody wants any more, what killed runs leave, all of it at an uninstall."""
