// InetAddress.getAllByName: "name address" or "name word" a line.
import java.net.InetAddress;
import java.net.UnknownHostException;

class Resolve {
    public static void main(String[] names) {
        for (String name : names) {
            try {
                for (InetAddress address : InetAddress.getAllByName(name)) {
                    System.out.println(name + " " + address.getHostAddress());
                }
            } catch (UnknownHostException unknown) {
                System.out.println(name + " unknown");
            }
        }
    }
}
