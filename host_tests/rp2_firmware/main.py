# SPDX-License-Identifier: MIT
import app

app.start()
