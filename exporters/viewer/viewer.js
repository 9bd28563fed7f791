// The 3D view of a report: the GLB that the page carries, turned with the mouse or a finger, drawn without a network.
// Built into viewer.min.js by build.sh; the page holds a canvas #view, a checkbox #shade, and the model in #model.
import {
  AmbientLight, Box3, Color, DirectionalLight, MeshBasicMaterial, PerspectiveCamera, Scene, Vector3, WebGLRenderer,
} from "three";
import { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";

const canvas = document.getElementById("view");
const shade = document.getElementById("shade");

function say(state, text) {
  document.body.dataset.view = state;
  document.getElementById("view-note").textContent = text;
}

function bytesOf(element) {
  const text = atob(element.textContent.trim());
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0)).buffer;
}

// The colours hold the light that the model has painted: flat unless shading is asked for.
function flatTwin(material) {
  return new MeshBasicMaterial({ map: material.map, vertexColors: material.vertexColors });
}

function show(model) {
  const renderer = new WebGLRenderer({ canvas, antialias: true });
  renderer.setPixelRatio(window.devicePixelRatio);
  const scene = new Scene();
  scene.background = new Color(0xe9e9ec);
  scene.add(new AmbientLight(0xffffff, 1.2), model);

  const box = new Box3().setFromObject(model);
  const centre = box.getCenter(new Vector3());
  const radius = box.getSize(new Vector3()).length() / 2 || 1;
  const camera = new PerspectiveCamera(40, 1, radius / 100, radius * 100);
  const direction = new Vector3(0.45, 0.4, 1).normalize();
  camera.position.copy(centre).addScaledVector(direction, radius / Math.sin((20 * Math.PI) / 180));
  const lamp = new DirectionalLight(0xffffff, 2.2);
  lamp.position.set(0.4, 0.7, 0.6);
  camera.add(lamp);
  scene.add(camera);

  const controls = new OrbitControls(camera, canvas);
  controls.target.copy(centre);
  controls.update();

  const meshes = [];
  model.traverse((node) => {
    if (node.isMesh) meshes.push({ node, lit: node.material, flat: flatTwin(node.material) });
  });

  function draw() {
    const { clientWidth: width, clientHeight: height } = canvas;
    renderer.setSize(width, height, false);
    camera.aspect = width / Math.max(height, 1);
    camera.updateProjectionMatrix();
    for (const { node, lit, flat } of meshes) node.material = shade.checked ? lit : flat;
    renderer.render(scene, camera);
  }
  controls.addEventListener("change", draw);
  shade.addEventListener("change", draw);
  window.addEventListener("resize", draw);
  draw();
  say("drawn", "Drag to turn, scroll to come nearer, right button to move.");
}

try {
  new GLTFLoader().parse(
    bytesOf(document.getElementById("model")), "",
    (gltf) => {
      try {
        show(gltf.scene);
      } catch (error) {
        say("failed", `This browser cannot draw in 3D (${error.message}).`);
      }
    },
    (error) => say("failed", `The mesh could not be read (${error.message}).`),
  );
} catch (error) {
  say("failed", `The mesh could not be read (${error.message}).`);
}
