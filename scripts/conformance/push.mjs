export const pushChecks = []
export const checkEndpoint = async () => ''
