/** Components are tested with the styles that they are shown with. */
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/parts.css";
import "./styles/rooms.css";
