#include "qnative/config.h"
